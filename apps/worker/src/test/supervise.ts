import { type Manifest } from '@lowrank/contracts';
import { type AttemptRef, type Ports, randomIds } from '@lowrank/domain';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type WorkerMetrics } from '../metrics/worker-metrics';
import { defaultTimings, type Timings } from '../settings';
import { Supervisor } from '../supervisor';

/** Small programs in place of a trainer, for what a real one does rarely. Each begins when it has its assignment. */
const trainers = {
  exits: `process.exit(7)`,
  complains: `console.error('cannot open shared object file'); process.exit(1)`,
  kills: `process.kill(process.pid, 'SIGKILL')`,
  hangs: `setInterval(() => {}, 1000)`,
  babbles: `process.send('x'); send({ type: 'plan', totalSteps: -1 }).then(() => process.disconnect())`,
  obeys: `process.on('message', (m) => send({ type: 'stopped', reason: m.reason }).then(() => process.exit(0)));
          send({ type: 'phase', phase: 'preparing' }); setInterval(() => {}, 1000)`,
  evaluates: `(async () => {
    process.on('message', (m) => send({ type: 'stopped', reason: m.reason }).then(() => process.exit(0)));
    await send({ type: 'plan', totalSteps: 90, resumedFromStep: 0 });
    await send({ type: 'phase', phase: 'running' });
    await send({ type: 'metric', trainedTokens: 10, metric: { step: 10, at: new Date().toISOString(), kind: 'eval', loss: 3,
      learningRate: null, gradNorm: null, tokensPerSecond: null, epochs: 1, accuracy: null, rewardMargin: null } });
    setInterval(() => {}, 1000);
  })()`,
  several: `for (const id of ids) send({ type: 'phase', phase: 'preparing' }, id);
          const left = new Set(ids);
          process.on('message', ({ jobId, reason }) => send({ type: 'stopped', reason }, jobId).then(() => {
            left.delete(jobId);
            if (left.size === 0) process.exit(0);
          }));
          setInterval(() => {}, 1000)`,
  chatters: `console.log('out'); console.log('signed with ' + process.env.S3_SECRET_ACCESS_KEY); console.error('err');
          for (let i = 0; i < 200; i++) console.log('flood ' + i);
          send({ type: 'log', level: 'error', message: 'last' }).then(() => send({ type: 'failed', code: 'internal', message: 'x', retryable: false })).then(() => process.exit(1))`,
  gives_up: `send({ type: 'failed', code: 'loss_not_finite', message: 'NaN at step 3', retryable: false }).then(() => process.exit(0))`,
  trains: `(async () => {
    const metric = (step) => ({ type: 'metric', trainedTokens: 10 * step, metric: { step, at: new Date().toISOString(),
      kind: 'train', loss: 3 / step, learningRate: 1e-4, gradNorm: 1, tokensPerSecond: 100, epochs: step / 8, accuracy: null, rewardMargin: null } });
    await send({ type: 'plan', totalSteps: 40, resumedFromStep: 0 });
    await send({ type: 'phase', phase: 'running' });
    for (let step = 1; step <= 20; step++) await send(metric(step));
    const written = new Promise((resolve) => process.once('message', resolve));
    await send({ type: 'checkpoint', step: 20, sha256: 'c'.repeat(64) });
    for (let step = 21; step <= 40; step++) await send(metric(step));
    const { type, step } = await written;
    if (type !== 'written' || step !== 20) process.exit(1);
    await send({ type: 'phase', phase: 'publishing' });
    await send({ type: 'published', manifest: require('./manifest.json') });
    process.exit(0);
  })()`,
};
export type TestTrainer = keyof typeof trainers;

const timings: Timings = {
  ...defaultTimings,
  heartbeat: 100,
  metricBatch: 50,
  logBatch: 50,
  trainerSilence: 60_000,
  stopGrace: 400,
  cancelGrace: 400,
  drainGrace: 400,
  reportPatience: 10_000,
};

export interface SuperviseOptions {
  timings?: Partial<Timings>;
  /** What `trains` publishes. */
  manifest?: Manifest;
  jobsPerTrainer?: number;
  workerId?: string;
  deviceProblem?: string;
}

/** A supervisor of such trainers, whose programs and files are put into a folder. */
export async function superviseIn(
  {
    folder,
    clearUp = async () => undefined,
    ...rest
  }: {
    folder: string;
    ports: Ports;
    metrics: WorkerMetrics;
    clearUp?: (attempt: AttemptRef) => Promise<void>;
  },
  script: TestTrainer,
  options: SuperviseOptions = {},
): Promise<Supervisor> {
  const trainerEntry = join(folder, `${script}.js`);
  const program = `process.once('message', ({ assignments }) => {
    const ids = assignments.map(({ jobId }) => jobId);
    const send = (message, jobId = ids[0]) =>
      new Promise((resolve) => process.send({ type: 'job', jobId, message }, resolve));
    ${trainers[script]} });`;
  await writeFile(trainerEntry, program);
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(options.manifest ?? null));
  return new Supervisor({
    ...rest,
    clearUp,
    // What these trainers publish are no files.
    publishing: { publish: (_published, write) => write(), keep: (_files, write) => write() },
    deviceProblem: () => options.deviceProblem ?? null,
    workerId: options.workerId ?? randomIds.make('worker'),
    workplace: { dataDir: folder, threads: 2, slots: 1, jobsPerTrainer: options.jobsPerTrainer ?? 1 },
    timings: { ...timings, ...options.timings },
    trainerEntry,
    env: { ...process.env, S3_SECRET_ACCESS_KEY: 'the-secret-of-the-store' },
  });
}
