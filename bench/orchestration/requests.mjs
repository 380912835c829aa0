// Requests of the API's routes and of a bare Fastify's, in turn: how many a second, and what each takes of the serving process' CPU.
// The latter hardly depends on what else the machine does.
import autocannon from 'autocannon';
import { readFileSync } from 'node:fs';
import { median } from '../results.mjs';

const tickMs = 10;
/** CPU time that a process has taken, of the kernel for it too, ms (proc(5): utime and stime, after the name in brackets). */
function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return tickMs * (Number(fields[11]) + Number(fields[12]));
}

async function load({ ready: url, child }, path, secret, seconds) {
  const before = cpuMs(child.pid);
  const result = await autocannon({
    ...{ url: url + path, connections: 16, duration: seconds },
    headers: { authorization: `Bearer ${secret}` },
  });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${path}: ${result.non2xx} refused, ${result.errors} errors`);
  return {
    perSecond: result.requests.average,
    cpuMs: (cpuMs(child.pid) - before) / result.requests.total,
  };
}

/** Both on the same path, `rounds` times in turn; medians, and the medians of the ratios. */
export async function compareRequests(world, { api, bare, path, rounds, seconds }) {
  const samples = [];
  await load(api, path, world.secret, 2);
  await load(bare, path, world.secret, 2);
  for (let round = 0; round < rounds; round += 1) {
    const ours = await load(api, path, world.secret, seconds);
    samples.push({ ours, theirs: await load(bare, path, world.secret, seconds) });
  }
  const medianOf = (pick) => median(samples.map(pick));
  return {
    requestsPerSecond: medianOf(({ ours }) => ours.perSecond),
    barePerSecond: medianOf(({ theirs }) => theirs.perSecond),
    ratio: medianOf(({ ours, theirs }) => ours.perSecond / theirs.perSecond),
    cpuMs: medianOf(({ ours }) => ours.cpuMs),
    bareCpuMs: medianOf(({ theirs }) => theirs.cpuMs),
    cpuRatio: medianOf(({ ours, theirs }) => theirs.cpuMs / ours.cpuMs),
  };
}
