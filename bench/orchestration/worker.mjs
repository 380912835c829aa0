// A worker process of bench/orchestration.mjs: the product's dispatcher, presence and queue consumer. What an attempt does depends on
// `mode`: `process` forks a trainer per job through the product's supervisor, `inline` does what worker and trainer write to Postgres for
// a job without a process, `bare` claims and gives up, to time the way to the claim.
import { Logger } from '@nestjs/common';
import { join } from 'node:path';
import { root } from '../results.mjs';
import { manifestOf, metricOf } from './facts.mjs';
import { dist, now, redisOf } from './world.mjs';

const { createUnitOfWork } = dist('libs/db/src/index.js');
const {
  claimAttempt,
  endAttempt,
  publishVersion,
  randomIds,
  reportMetrics,
  reportPhase,
  reportPlan,
  SharedClock,
} = dist('libs/domain/src/index.js');
const { createJobConsumer, createJobQueue } = dist('libs/queue/src/index.js');
const { wakeUpVersion } = dist('libs/contracts/src/index.js');
const { Dispatcher } = dist('apps/worker/src/dispatch/dispatcher.js');
const { Presence } = dist('apps/worker/src/presence.js');
const { Supervisor } = dist('apps/worker/src/supervisor.js');
const { WorkerMetrics } = dist('apps/worker/src/metrics/worker-metrics.js');
const { defaultTimings } = dist('apps/worker/src/settings.js');

Logger.overrideLogger(['error', 'warn']);
const { mode, databaseUrl, redisUrl, prefix, slots, folder } = JSON.parse(process.argv[2]);
const redis = redisOf(redisUrl);
const id = randomIds.make('worker');
const unitOfWork = createUnitOfWork(databaseUrl);
const clock = new SharedClock(() => unitOfWork.ping());
const ports = { unitOfWork, clock, ids: randomIds };
const queue = createJobQueue({ databaseUrl, redis, prefix });
const metrics = new WorkerMetrics();
const dispatcher = new Dispatcher(ports, queue, defaultTimings, metrics);
const worker = {
  id,
  hostname: 'bench',
  slots,
  device: 'cpu',
  deviceClass: 'cpu',
  memoryBytes: 2 ** 34,
  threads: 1,
  wakeUpVersion,
};
const presence = new Presence(
  ports,
  worker,
  () => ({ usage: null, operationsPerSecond: null }),
  () => null,
  defaultTimings.presence,
  () => {},
);
const supervisor = new Supervisor({
  ...{
    ports,
    workerId: id,
    // A trainer for each job: several that a trainer trains together would be told as one start.
    workplace: { dataDir: folder, threads: 1, slots, jobsPerTrainer: 1 },
    clearUp: async () => {},
    publishing: { publish: (_published, write) => write(), keep: (_files, write) => write() },
    deviceProblem: () => null,
    timings: defaultTimings,
    metrics,
  },
  trainerEntry: join(root, 'bench/orchestration/trainer.mjs'),
  env: process.env,
});

const handlers = {
  async process(wakeUp) {
    await supervisor.handle(wakeUp);
  },
  async inline(wakeUp) {
    const claimed = await claimAttempt(ports, wakeUp, id);
    if (claimed === null) return;
    const attempt = { jobId: wakeUp.jobId, epoch: wakeUp.epoch };
    await reportPlan(ports, attempt, { totalSteps: 1, resumedFromStep: 0 });
    await reportPhase(ports, attempt, 'running');
    await reportMetrics(ports, attempt, { metrics: [metricOf(1)], trainedTokens: 100 });
    await reportPhase(ports, attempt, 'publishing');
    await publishVersion(ports, attempt, manifestOf(claimed.job));
  },
  async bare(wakeUp) {
    const claimed = await claimAttempt(ports, wakeUp, id);
    const claimedAt = now();
    process.send({ jobId: wakeUp.jobId, claimedAt });
    if (claimed === null) return;
    await endAttempt(ports, wakeUp, {
      type: 'failed',
      code: 'internal',
      message: 'Bench.',
      retryable: false,
    });
  },
};
const consumer = createJobConsumer(
  {
    databaseUrl,
    redis,
    prefix,
    workerId: id,
    slots,
    onError: (error) => process.stderr.write(`${error.stack}\n`),
  },
  async (wakeUp) => {
    process.send({ jobId: wakeUp.jobId, at: now() });
    await handlers[mode](wakeUp);
    process.send({ jobId: wakeUp.jobId, done: now() });
  },
);

presence.start();
dispatcher.start();
process.on('SIGTERM', async () => {
  supervisor.drain();
  await Promise.all([presence.stop(), consumer.close(), dispatcher.stop()]);
  await queue.close();
  await unitOfWork.close();
  process.exit(0);
});
process.send('ready');
