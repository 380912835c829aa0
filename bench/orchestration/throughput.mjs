// Jobs per second through the whole path, and BullMQ alone doing as little as a queue can: add, process, remove.
import { createRequire } from 'node:module';
import { inParallel, now, spread, sql, startProcess } from './world.mjs';

const { createPostgresBackend, createRedisBackend, Queue } = createRequire(import.meta.url)('bullmq');
const submitters = 8;

/** Submits `count` jobs as fast as it can and waits until the worker has settled them all. */
export async function measureJobs(world, { mode, slots, redisUrl, prefix, folder, count }) {
  const settings = { mode, databaseUrl: world.databaseUrl, redisUrl, prefix, slots, folder };
  const worker = await startProcess('worker', settings);
  try {
    let done = 0;
    const settled = new Promise((resolve) =>
      worker.child.on('message', (message) => {
        if (message.done !== undefined && ++done === count) resolve();
      }),
    );
    const begin = now();
    await inParallel(count, submitters, (index) => world.submit(`bench-${index % slots}`));
    const submitted = now();
    await settled;
    const seconds = (now() - begin) / 1000;
    const [{ succeeded }] = await sql(
      world.databaseUrl,
      "SELECT count(*)::int AS succeeded FROM jobs WHERE state = 'succeeded'",
    );
    if (succeeded !== count) throw new Error(`${succeeded} of ${count} jobs succeeded`);
    return {
      jobs: count,
      slots,
      submittedPerSecond: (1000 * count) / (submitted - begin),
      jobsPerSecond: count / seconds,
    };
  } finally {
    await worker.stop();
  }
}

/** One job at a time: from its submission to its trainer's word that it trains, by the job's own events. */
export async function measureStart(world, { redisUrl, prefix, folder, count }) {
  const settings = { mode: 'process', databaseUrl: world.databaseUrl, redisUrl, prefix, slots: 2, folder };
  const worker = await startProcess('worker', settings);
  let told = () => {};
  const done = new Set();
  worker.child.on('message', ({ jobId, done: at }) => {
    if (at !== undefined) done.add(jobId);
    told();
  });
  try {
    const ids = [];
    for (let index = -3; index < count; index += 1) {
      const { id } = await world.submit();
      while (!done.has(id)) await new Promise((resolve) => (told = resolve));
      if (index >= 0) ids.push(id);
    }
    const rows = await sql(
      world.databaseUrl,
      `SELECT extract(epoch FROM max(at) FILTER (WHERE state = 'running') - min(at)) * 1000 AS ms
       FROM job_events WHERE job_id = ANY ($1) GROUP BY job_id`,
      [ids],
    );
    return spread(rows.map(({ ms }) => Number(ms)));
  } finally {
    await worker.stop();
  }
}

/** The same number of entries through BullMQ alone, from one process to another. */
export async function measureBullmq(world, { slots, redisUrl, prefix, folder, count }) {
  const worker = await startProcess('bullmq-worker', {
    databaseUrl: world.databaseUrl,
    redisUrl,
    prefix,
    slots,
    folder,
  });
  const queue = openQueue(world.databaseUrl, redisUrl, prefix);
  try {
    let done = 0;
    const processed = new Promise((resolve) =>
      worker.child.on('message', () => {
        if (++done === count) resolve();
      }),
    );
    await queue.waitUntilReady();
    const begin = now();
    await inParallel(count, submitters, (index) =>
      queue.add('bench', { index }, { jobId: `bench-${index}`, removeOnComplete: true, removeOnFail: true }),
    );
    await processed;
    return { jobs: count, slots, jobsPerSecond: count / ((now() - begin) / 1000) };
  } finally {
    await worker.stop();
    await queue.close();
  }
}

export function openQueue(databaseUrl, redisUrl, prefix) {
  const name = 'bench';
  if (redisUrl !== null)
    return new Queue(name, { connection: { url: redisUrl }, prefix }, createRedisBackend);
  const connection = { connectionString: databaseUrl, schema: `queue_${prefix}`, migrate: true, max: 4 };
  return new Queue(name, { connection }, createPostgresBackend);
}
