import { type Job, type Manifest } from '@lowrank/contracts';
import {
  type AttemptRef,
  cancelJob,
  endAttempt,
  pauseJob,
  type Ports,
  resumeJob,
  type UnitOfWork,
} from '@lowrank/domain';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerMetrics } from './metrics/worker-metrics';
import { defaultTimings } from './settings';
import { submitTestJob } from './test/submit';
import { superviseIn, type SuperviseOptions, type TestTrainer } from './test/supervise';
import { testWorld, type World } from './test/world';

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
  const clearUp = async (attempt: AttemptRef) => void cleared.push(attempt);
  const supervise = (
    script: TestTrainer,
    { unitOfWork = ports.unitOfWork, ...options }: SuperviseOptions & { unitOfWork?: UnitOfWork } = {},
  ) => superviseIn({ folder, ports: { ...ports, unitOfWork }, metrics, clearUp }, script, options);
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

  const manifestOf = (job: Job): Manifest => ({
    format: 1,
    jobId: job.id,
    epoch: 1,
    checkpointStep: null,
    adapter: job.adapter,
    baseModel: job.baseModel,
    dataset: { id: job.dataset.id, sha256: job.dataset.sha256 },
    recipe: job.recipe,
    parents: [],
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
    certificate: null,
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
