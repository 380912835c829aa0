import { type Job, type Manifest } from '@lowrank/contracts';
import {
  type AttemptRef,
  cancelJob,
  endAttempt,
  pauseJob,
  type Ports,
  randomIds,
  resumeJob,
  type UnitOfWork,
} from '@lowrank/domain';
import { makeWorker } from '@lowrank/testing';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerMetrics } from './metrics/worker-metrics';
import { defaultTimings, type Timings } from './settings';
import { Supervisor } from './supervisor';
import { submitTestJob } from './test/submit';
import { testWorld, type World } from './test/world';

/** Small programs in place of a trainer, for what a real one does rarely. Each begins when it has its assignment. */
const trainers = {
  exits: `process.exit(7)`,
  complains: `console.error('cannot open shared object file'); process.exit(1)`,
  kills: `process.kill(process.pid, 'SIGKILL')`,
  hangs: `setInterval(() => {}, 1000)`,
  babbles: `process.send('x'); send({ type: 'plan', totalSteps: -1 }).then(() => process.disconnect())`,
  obeys: `process.on('message', (m) => send({ type: 'stopped', reason: m.reason }).then(() => process.exit(0)));
          send({ type: 'phase', phase: 'preparing' }); setInterval(() => {}, 1000)`,
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
    await send({ type: 'checkpoint', step: 20, sha256: 'c'.repeat(64) });
    for (let step = 21; step <= 40; step++) await send(metric(step));
    await send({ type: 'phase', phase: 'publishing' });
    await send({ type: 'published', manifest: require('./manifest.json') });
    process.exit(0);
  })()`,
};

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

describe('Supervisor', () => {
  let world: World;
  let ports: Ports;
  let folder: string;
  beforeAll(async () => {
    world = await testWorld();
    ports = world.ports;
    folder = await mkdtemp(join(tmpdir(), 'lowrank-worker-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
    await world.end();
  });

  const metrics = new WorkerMetrics();
  /** Attempts that ended their jobs, as the janitor hears of them. */
  const cleared: AttemptRef[] = [];
  const supervise = async (
    script: keyof typeof trainers,
    options: {
      unitOfWork?: UnitOfWork;
      timings?: Partial<Timings>;
      manifest?: Manifest;
      jobsPerTrainer?: number;
      workerId?: string;
    } = {},
  ): Promise<Supervisor> => {
    const trainerEntry = join(folder, `${script}.js`);
    const program = `process.once('message', ({ assignments }) => {
      const ids = assignments.map(({ jobId }) => jobId);
      const send = (message, jobId = ids[0]) =>
        new Promise((resolve) => process.send({ type: 'job', jobId, message }, resolve));
      ${trainers[script]} });`;
    await writeFile(trainerEntry, program);
    await writeFile(join(folder, 'manifest.json'), JSON.stringify(options.manifest ?? null));
    return new Supervisor({
      ports: { ...ports, unitOfWork: options.unitOfWork ?? ports.unitOfWork },
      workerId: options.workerId ?? randomIds.make('worker'),
      workplace: { dataDir: folder, threads: 2, slots: 1, jobsPerTrainer: options.jobsPerTrainer ?? 1 },
      timings: { ...timings, ...options.timings },
      metrics,
      clearUp: async (attempt) => void cleared.push(attempt),
      trainerEntry,
      env: { ...process.env, S3_SECRET_ACCESS_KEY: 'the-secret-of-the-store' },
    });
  };
  const record = (id: string) => ports.unitOfWork.run(({ jobs }) => jobs.lock(id));
  const eventsOf = (id: string) => ports.unitOfWork.run(({ jobs }) => jobs.events(id, 0, 100));
  const messagesOf = async (id: string) => (await eventsOf(id)).map(({ message }) => message).join('\n');
  const until = async (condition: () => Promise<boolean>) => {
    while (!(await condition())) await sleep(20);
  };
  /** As of the release before, which anybody may take. */
  const wakeUp = (job: Job, epoch = 1) => ({ jobId: job.id, epoch, workerId: null });
  const first = (job: Job) => wakeUp(job);

  it.each([
    ['exits', /exit code 7/],
    ['complains', /exit code 1.*cannot open shared object file/s],
    ['kills', /killed by SIGKILL/],
    ['babbles', /without a result.*could not be read/s],
  ] as const)('queues the next attempt when the trainer %s', async (script, message) => {
    const { job } = await submitTestJob(ports);
    await (await supervise(script)).handle(first(job));
    expect(await record(job.id)).toMatchObject({
      state: 'queued',
      epoch: 2,
      fruitlessAttempts: 1,
      workerId: null,
    });
    expect(await messagesOf(job.id)).toMatch(message);
  });

  it('fails a job whose trainer dies three times without progress', async () => {
    const { job } = await submitTestJob(ports);
    const supervisor = await supervise('exits');
    for (const epoch of [1, 2, 3]) await supervisor.handle(wakeUp(job, epoch));
    expect(await record(job.id)).toMatchObject({ state: 'failed', error: { code: 'trainer_crashed' } });
  });

  it('kills a trainer that says nothing', async () => {
    const { job } = await submitTestJob(ports);
    await (await supervise('hangs', { timings: { trainerSilence: 300 } })).handle(first(job));
    expect(await record(job.id)).toMatchObject({ state: 'queued', epoch: 2 });
    expect(await messagesOf(job.id)).toMatch(/said nothing for 0.3 s/);
  });

  it("ends a job with the trainer's own reason", async () => {
    const { job } = await submitTestJob(ports);
    await (await supervise('gives_up')).handle(first(job));
    expect(await record(job.id)).toMatchObject({
      state: 'failed',
      error: { code: 'loss_not_finite', message: 'NaN at step 3' },
    });
  });

  it.each(['obeys', 'hangs'] as const)('cancels a job whose trainer %s', async (script) => {
    const { job, teamId } = await submitTestJob(ports);
    const supervisor = await supervise(script);
    const handled = supervisor.handle(first(job));
    await until(async () => (await record(job.id))?.state === 'preparing');
    await cancelJob(ports, teamId, job.id);
    await handled;
    expect(await record(job.id)).toMatchObject({ state: 'cancelled', epoch: 1 });
  });

  it('cancels even a trainer that hangs, within two seconds by the timings of an installation', async () => {
    const { job, teamId } = await submitTestJob(ports);
    const { heartbeat, cancelGrace } = defaultTimings;
    const handled = (await supervise('hangs', { timings: { heartbeat, cancelGrace } })).handle(first(job));
    await until(async () => (await record(job.id))?.state === 'preparing');
    await cancelJob(ports, teamId, job.id);
    await handled;
    expect(await record(job.id)).toMatchObject({ state: 'cancelled', workerId: null });
    // It is noticed with a heartbeat and ended after the grace; what the machine adds is not for a test to say.
    expect(heartbeat + cancelGrace).toBeLessThanOrEqual(1800);
  });

  it.each(['obeys', 'hangs'] as const)('pauses a job whose trainer %s, and resumes it', async (script) => {
    const { job, teamId } = await submitTestJob(ports);
    const supervisor = await supervise(script);
    const handled = supervisor.handle(first(job));
    await until(async () => (await record(job.id))?.state === 'preparing');
    await pauseJob(ports, teamId, job.id);
    await handled;
    expect(await record(job.id)).toMatchObject({
      state: 'paused',
      epoch: 1,
      workerId: null,
      pauseRequested: false,
      fruitlessAttempts: 0,
    });
    await resumeJob(ports, teamId, job.id);
    await supervisor.handle(first(job));
    expect(await record(job.id)).toMatchObject({ state: 'queued', epoch: 2 });
  });

  it('cancels a job that was pausing', async () => {
    const { job, teamId } = await submitTestJob(ports);
    const handled = (await supervise('hangs', { timings: { drainGrace: 60_000 } })).handle(first(job));
    await until(async () => (await record(job.id))?.state === 'preparing');
    await pauseJob(ports, teamId, job.id);
    await sleep(300);
    await cancelJob(ports, teamId, job.id);
    await handled;
    expect(await record(job.id)).toMatchObject({ state: 'cancelled' });
  });

  it('gives its slot to a job of higher priority', async () => {
    const { job } = await submitTestJob(ports);
    const handled = (await supervise('obeys')).handle(first(job));
    await until(async () => (await record(job.id))?.state === 'preparing');
    await ports.unitOfWork.run(({ jobs }) => jobs.update(job.id, 1, { preemptRequested: true }));
    await handled;
    expect(await record(job.id)).toMatchObject({ state: 'queued', epoch: 2, preemptRequested: false });
    expect(await messagesOf(job.id)).toContain('to a job of higher priority');
  });

  it('takes nothing while somebody wants it to drain, and hands on what runs if that is wanted', async () => {
    const { job } = await submitTestJob(ports);
    const supervisor = await supervise('obeys');
    const handled = supervisor.handle(first(job));
    await until(async () => (await record(job.id))?.state === 'preparing');
    supervisor.setDrain('finish');
    const { job: other } = await submitTestJob(ports);
    await supervisor.handle(first(other));
    expect(await record(other.id)).toMatchObject({ state: 'queued', epoch: 1 });
    expect(await record(job.id)).toMatchObject({ state: 'preparing' });
    supervisor.setDrain('checkpoint');
    await handled;
    expect(await record(job.id)).toMatchObject({ state: 'queued', epoch: 2, fruitlessAttempts: 0 });
    supervisor.setDrain(null);
    const again = supervisor.handle(first(other));
    await until(async () => (await record(other.id))?.state === 'preparing');
    supervisor.drain();
    await again;
  });

  it('takes what the release before woke anybody for only while a slot is free', async () => {
    const [{ job }, { job: other }] = [await submitTestJob(ports), await submitTestJob(ports)];
    const supervisor = await supervise('obeys');
    const handled = supervisor.handle(first(job));
    await until(async () => (await record(job.id))?.state === 'preparing');
    await supervisor.handle(first(other));
    expect(await record(other.id)).toMatchObject({ state: 'queued' });
    supervisor.drain();
    await handled;
  });

  it.each(['obeys', 'hangs'] as const)(
    'hands a job back when it drains and the trainer %s',
    async (script) => {
      const { job } = await submitTestJob(ports);
      const supervisor = await supervise(script);
      const handled = supervisor.handle(first(job));
      await until(async () => (await record(job.id))?.state === 'preparing');
      supervisor.drain();
      await handled;
      expect(await record(job.id)).toMatchObject({ state: 'queued', epoch: 2, fruitlessAttempts: 0 });
      await supervisor.handle(wakeUp(job, 2));
      expect(await record(job.id)).toMatchObject({ state: 'queued', epoch: 2 });
    },
  );

  it('ends the trainer of an attempt that was fenced, and writes nothing more', async () => {
    const { job } = await submitTestJob(ports);
    const handled = (await supervise('hangs')).handle(first(job));
    await until(async () => (await record(job.id))?.state === 'preparing');
    await endAttempt(ports, first(job), { type: 'crashed', message: 'declared dead' });
    const before = await eventsOf(job.id);
    await handled;
    expect(await eventsOf(job.id)).toEqual(before);
    expect(await record(job.id)).toMatchObject({ state: 'queued', epoch: 2 });
  });

  it('does nothing for a wake-up that is stale', async () => {
    const { job } = await submitTestJob(ports);
    await (await supervise('exits')).handle(wakeUp(job, 5));
    expect(await record(job.id)).toMatchObject({ state: 'queued', epoch: 1 });
  });

  describe('with several jobs in one trainer', () => {
    /** A lead, whose wake-up is handled, and as many others on its base. */
    const together = async (script: keyof typeof trainers, count: number) => {
      const recipe = { training: { rows: 1, sequenceLength: 64 } };
      const { job, teamId } = await submitTestJob(ports, { recipe });
      const ids = [job.id];
      for (let i = 1; i < count; i += 1) ids.push((await submitTestJob(ports, { recipe, like: job })).job.id);
      const worker = makeWorker({ memoryBytes: 0 });
      const supervisor = await supervise(script, { jobsPerTrainer: count, workerId: worker.id });
      await ports.unitOfWork.run(async ({ workers, jobs }) => {
        await workers.upsert(worker);
        await jobs.update(job.id, 1, { assignedTo: worker.id });
      });
      const handled = supervisor.handle({ jobId: job.id, epoch: 1, workerId: worker.id });
      return { ids, teamId, supervisor, handled };
    };
    const states = (ids: string[]) => Promise.all(ids.map(async (id) => (await record(id))?.state));
    const fencedSoFar = async () =>
      Number(/outcome="fenced"\} (\d+)/.exec(await metrics.registry.metrics())?.[1] ?? 0);
    const settled = (ids: string[], state: string) =>
      until(async () => (await states(ids)).every((one) => one === state));

    it.each(['several', 'hangs'] as const)(
      'stops one, and leaves the others alone, when the trainer %s',
      async (script) => {
        const { ids, teamId, supervisor, handled } = await together(script, 3);
        await settled(ids, 'preparing');
        const [first, second, third] = ids as [string, string, string];
        await cancelJob(ports, teamId, second);
        await settled([second], 'cancelled');
        expect(await states([first, third])).toEqual(['preparing', 'preparing']);
        const fenced = await fencedSoFar();
        await endAttempt(ports, { jobId: first, epoch: 1 }, { type: 'crashed', message: 'declared dead' });
        await until(async () => (await fencedSoFar()) > fenced);
        expect(await states([third])).toEqual(['preparing']);
        supervisor.drain();
        await handled;
        expect(await record(third)).toMatchObject({
          state: 'queued',
          epoch: 2,
          fruitlessAttempts: 0,
          party: null,
        });
      },
    );

    it('queues all again when the trainer dies', async () => {
      const { ids, handled } = await together('kills', 2);
      await handled;
      for (const id of ids)
        expect(await record(id)).toMatchObject({ state: 'queued', epoch: 2, fruitlessAttempts: 1 });
    });

    it('takes the word of each for its own end', async () => {
      const { ids, handled } = await together('gives_up', 2);
      await handled;
      expect(await states(ids)).toEqual(['failed', 'queued']);
    });
  });

  const manifestOf = (job: Job): Manifest => ({
    format: 1,
    jobId: job.id,
    epoch: 1,
    adapter: job.adapter,
    baseModel: job.baseModel,
    dataset: { id: job.dataset.id, sha256: job.dataset.sha256 },
    recipe: job.recipe,
    templateSha256: 'd'.repeat(64),
    metrics: {
      steps: 40,
      skippedSteps: 0,
      rollbacks: 0,
      trainedTokens: 400,
      trainLoss: 0.1,
      evalLossBefore: 3,
      evalLossAfter: 1,
      evalAccuracyBefore: 0.1,
      evalAccuracyAfter: 0.6,
      seconds: 1,
      peakMemoryBytes: 1000,
    },
    files: [{ path: 'adapter_model.safetensors', sha256: 'e'.repeat(64), bytes: 5 }],
  });

  const expectPublished = async (teamId: string, job: Job) => {
    expect(await record(job.id)).toMatchObject({
      state: 'succeeded',
      version: 1,
      step: 40,
      totalSteps: 40,
      trainedTokens: 400,
      checkpointStep: 20,
      fruitlessAttempts: 0,
    });
    const { metrics, version } = await ports.unitOfWork.run(async ({ jobs, adapters }) => ({
      metrics: await jobs.metrics(job.id, { limit: 100 }),
      version: await adapters.version(teamId, job.adapter, 1),
    }));
    expect(metrics.map(({ step }) => step)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(version?.jobId).toBe(job.id);
    const states = (await eventsOf(job.id)).filter(({ type }) => type === 'state').map(({ state }) => state);
    expect(states).toEqual(['queued', 'preparing', 'running', 'publishing', 'succeeded']);
  };

  it('writes down a whole run and publishes it', async () => {
    const { job, teamId } = await submitTestJob(ports);
    await (await supervise('trains', { manifest: manifestOf(job) })).handle(first(job));
    await expectPublished(teamId, job);
    const text = await metrics.registry.metrics();
    expect(text).toContain('lowrank_attempts_total{outcome="published"} 1');
    expect(text).toContain('lowrank_attempts_running 0');
    expect(text).toContain('lowrank_trained_tokens_total 400');
    expect(text).toContain('lowrank_training_step_seconds_count 40');
    expect(text).toContain('lowrank_training_tokens_per_second 0');
    expect(cleared).toContainEqual({ jobId: job.id, epoch: 1 });
  });

  it('keeps what a trainer logs and writes to its output', async () => {
    const { job } = await submitTestJob(ports);
    await (await supervise('chatters')).handle(first(job));
    expect(await record(job.id)).toMatchObject({ state: 'failed' });
    const lines = await ports.unitOfWork.run(({ jobs }) => jobs.log(job.id, 0, 5000));
    const levelOf = (text: string) => lines.find(({ message }) => message === text)?.level;
    expect(levelOf('signed with ***')).toBe('info');
    expect([levelOf('out'), levelOf('err'), levelOf('last')]).toEqual(['info', 'warn', 'error']);
    expect(levelOf('flood 199')).toBe('info');
  });

  it('loses nothing of a run while Postgres is away', async () => {
    const { job, teamId } = await submitTestJob(ports);
    let awayUntil = 0;
    let refused = 0;
    const unitOfWork: UnitOfWork = {
      ...ports.unitOfWork,
      run: (work) => {
        if (Date.now() >= awayUntil) return ports.unitOfWork.run(work);
        refused += 1;
        return Promise.reject(new Error('connect ECONNREFUSED'));
      },
    };
    const handled = (await supervise('trains', { manifest: manifestOf(job), unitOfWork })).handle(first(job));
    await until(async () => (await record(job.id))?.state === 'preparing');
    awayUntil = Date.now() + 1000;
    await handled;
    expect(refused).toBeGreaterThan(1);
    await expectPublished(teamId, job);
  });
});
