// Requests per second of the API's routes and of a bare Fastify's, in turn.
import autocannon from 'autocannon';
import { median } from '../results.mjs';

async function load(url, path, secret, seconds) {
  const result = await autocannon({
    ...{ url: url + path, connections: 16, duration: seconds },
    headers: { authorization: `Bearer ${secret}` },
  });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${path}: ${result.non2xx} refused, ${result.errors} errors`);
  return result.requests.average;
}

/** Requests/s of both on the same path, `rounds` times in turn; medians, and the median of the ratios. */
export async function compareRequests(world, { api, bare, path, rounds, seconds }) {
  const samples = [];
  await load(api, path, world.secret, 1);
  await load(bare, path, world.secret, 1);
  for (let round = 0; round < rounds; round += 1) {
    const ours = await load(api, path, world.secret, seconds);
    samples.push({ ours, theirs: await load(bare, path, world.secret, seconds) });
  }
  return {
    requestsPerSecond: median(samples.map(({ ours }) => ours)),
    barePerSecond: median(samples.map(({ theirs }) => theirs)),
    ratio: median(samples.map(({ ours, theirs }) => ours / theirs)),
  };
}
