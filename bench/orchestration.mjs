// What orchestration costs, each figure beside its peer's in the same run: jobs per second through the whole path against BullMQ alone,
// the way from a submitted job to its start, 100,000 queued jobs, and the API's requests per second against a bare Fastify route.
// Brings a Postgres and, where redis-server is installed, a Redis of its own, and removes both. docs/benchmarks.md says what is in
// each figure and what is not.
//
//   npm run bench:orchestration -- [--only latency,jobs,backlog,api] [--jobs 1000] [--queued 100000] [--seconds 4] [--rounds 3]
//
// Writes bench/results/orchestration.json.
import { parseArgs } from 'node:util';
import { measureBullmqMemory, measurePages, measureRounds, queueJobs } from './orchestration/backlog.mjs';
import { measureLatency } from './orchestration/latency.mjs';
import { compareRequests } from './orchestration/requests.mjs';
import { measureBullmq, measureJobs, measureStart } from './orchestration/throughput.mjs';
import { openServers, startProcess } from './orchestration/world.mjs';
import { writeResults } from './results.mjs';

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: 'latency,jobs,backlog,api' },
    jobs: { type: 'string', default: '1000' },
    queued: { type: 'string', default: '100000' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
  },
});
const count = { jobs: Number(flags.jobs), queued: Number(flags.queued) };
const [seconds, rounds] = [Number(flags.seconds), Number(flags.rounds)];
const parts = flags.only.split(',');

const say = (line) => process.stdout.write(`${line}\n`);
const head = (line) => say(`\n${line}\n${'-'.repeat(line.length)}`);
const ms = ({ p50, p99 }) => `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
const perSecond = (value) => `${value.toFixed(value < 100 ? 1 : 0)}/s`;
const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const row = (name, ...cells) =>
  say(
    `${name.padEnd(54)}${cells
      .map((cell) => cell.padEnd(44))
      .join('')
      .trimEnd()}`,
  );

const servers = await openServers();
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => servers.close().then(() => process.exit(130)));
const { redisUrl, folder } = servers;
if (redisUrl === null) say('redis-server is not installed: the queue is measured on Postgres only.');
const backends = [...(redisUrl === null ? [] : [['Redis', redisUrl]]), ['Postgres', null]];
const results = {};
let made = 0;

/** Runs `work` in a database and under a queue prefix of its own. */
async function inWorld(work) {
  const name = `bench_${++made}`;
  const world = await servers.openWorld(name);
  try {
    return await work(world, name);
  } finally {
    await world.close();
  }
}

async function latency() {
  head('Submit → the worker has the job, one at a time');
  results.latency = {};
  for (const [backend, url] of backends) {
    const times = await inWorld((world, prefix) =>
      measureLatency(world, { redisUrl: url, prefix, folder, count: 200 }),
    );
    const start = await inWorld((world, prefix) =>
      measureStart(world, { redisUrl: url, prefix, folder, count: 30 }),
    );
    results.latency[backend] = { ...times, start };
    row(`queue on ${backend}: submit, to the commit`, ms(times.submit));
    row('  dispatch alone: from the commit to the worker', ms(times.dispatch), 'goal: 10 and 50 ms');
    row('  submit → claimed by the worker', ms(times.claimed));
    row('  submit → trainer process says that it trains', ms(start));
  }
}

async function jobs() {
  head('Jobs per second');
  results.jobs = {};
  for (const [backend, url] of backends) {
    const [slots, processes] = [16, Math.ceil(count.jobs / 20)];
    const inline = await inWorld((world, prefix) =>
      measureJobs(world, { mode: 'inline', slots, redisUrl: url, prefix, folder, count: count.jobs }),
    );
    const forked = await inWorld((world, prefix) =>
      measureJobs(world, { mode: 'process', slots: 4, redisUrl: url, prefix, folder, count: processes }),
    );
    const bullmq = await inWorld((world, prefix) =>
      measureBullmq(world, { slots, redisUrl: url, prefix, folder, count: 5 * count.jobs }),
    );
    results.jobs[backend] = { inline, forked, bullmq };
    row(`queue on ${backend}: submit → settled, trainer inline`, perSecond(inline.jobsPerSecond));
    row('  of these, accepted while dispatched', perSecond(inline.submittedPerSecond));
    row('  submit → settled, a trainer process per job', perSecond(forked.jobsPerSecond));
    row('  BullMQ alone: add → processed', perSecond(bullmq.jobsPerSecond));
  }
}

async function backlog() {
  head(`${count.queued.toLocaleString('en')} queued jobs of 50 teams, 200 workers`);
  await inWorld(async (world, prefix) => {
    await queueJobs(world, count.queued, 50);
    const waiting = await measureRounds(world, { workers: 200, redisUrl, prefix, rounds: 20 });
    const bullmqBytes =
      redisUrl === null ? null : await measureBullmqMemory(world, { redisUrl, prefix, count: count.queued });
    const api = await startProcess('api', { databaseUrl: world.databaseUrl, folder, logLevel: 'warn' });
    try {
      const pages = await measurePages(world, { url: api.ready, limit: 50, times: 100 });
      results.backlog = { queued: count.queued, ...waiting, bullmqBytes, pages };
      if (redisUrl !== null)
        row('memory of Redis', mib(waiting.redisBytes), `all in BullMQ: ${mib(bullmqBytes)}`);
      row(
        'dispatch round that fills 200 free slots',
        `${waiting.filling.ms.toFixed(0)} ms, ${waiting.filling.assigned} jobs`,
      );
      row('dispatch round with all slots taken', ms(waiting.full));
      row('counts for the metrics', ms(waiting.overview));
      for (const [name, times] of Object.entries(pages))
        row(`GET /jobs?limit=50, ${name} page of ${count.queued / 2000}k`, ms(times));
    } finally {
      await api.stop();
    }
  });
}

async function api() {
  head('API requests per second, 16 connections');
  await inWorld(async (world) => {
    await queueJobs(world, 1000, 1);
    const { id } = await world.submit();
    const { databaseUrl, teamId } = world;
    const logs = { databaseUrl, folder, logLevel: 'info' };
    const ours = await startProcess('api', logs);
    const rivals = [];
    const names = {
      repositories: 'same repository',
      unbound: 'without row-level security',
      driver: 'node-postgres',
    };
    for (const client of Object.keys(names))
      rivals.push([client, await startProcess('bare', { client, databaseUrl, teamId, folder })]);
    results.api = {};
    try {
      for (const [name, path] of [
        ['GET /api/v1/jobs/:id', `/api/v1/jobs/${id}`],
        ['GET /api/v1/jobs?limit=20', '/api/v1/jobs?limit=20'],
      ])
        for (const [client, bare] of rivals) {
          const both = await compareRequests(world, { api: ours, bare, path, rounds, seconds });
          results.api[`${name}, ${client}`] = both;
          row(
            name,
            perSecond(both.requestsPerSecond),
            `bare Fastify, ${names[client]}: ${perSecond(both.barePerSecond)}`,
            `${both.ratio.toFixed(2)}×, goal 0.7×`,
          );
          row(
            '  CPU time of a request',
            `${both.cpuMs.toFixed(2)} ms`,
            `${both.bareCpuMs.toFixed(2)} ms`,
            `${both.cpuRatio.toFixed(2)}×`,
          );
        }
    } finally {
      await ours.stop();
      for (const [, bare] of rivals) await bare.stop();
    }
  });
}

try {
  for (const [name, part] of Object.entries({ latency, jobs, backlog, api }))
    if (parts.includes(name)) await part();
  writeResults('orchestration', results);
} finally {
  await servers.close();
}
process.exit(0);
