import { type AdapterVersion, type RecipeInput, sharedQueueName } from '@lowrank/contracts';
import {
  type BaseModelFacts,
  cancelJob,
  type DatasetFacts,
  drainWorker,
  pauseJob,
  type Ports,
  resumeJob,
} from '@lowrank/domain';
import { childrenOf } from '@lowrank/testing';
import { createPostgresBackend, withBackend } from 'bullmq';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { submitTestJob } from './test/submit';
import { storeTiny } from './test/tiny';
import { testWorld, type World } from './test/world';

/** Many, and fast: what is seen of a run in Postgres lags behind it. */
const steps = 800;
const recipe: RecipeInput = {
  lora: { rank: 4, dropout: 0.1 },
  training: { steps, sequenceLength: 64, rows: 2, compute: 'f32' },
  optimizer: { learningRate: 0.01 },
  evaluation: { fraction: 0.1 },
  checkpoints: { everySteps: 10 },
};

/** A worker process with real trainers, on real Postgres, as `lowrank up` starts them. */
describe('worker', () => {
  let world: World;
  let ports: Ports;
  let root: string;
  let baseModel: BaseModelFacts;
  let dataset: DatasetFacts;
  const workers: ChildProcess[] = [];

  beforeAll(async () => {
    world = await testWorld();
    ports = world.ports;
    root = await mkdtemp(join(tmpdir(), 'lowrank-worker-'));
    ({ baseModel, dataset } = await storeTiny(root));
  }, 120_000);

  afterAll(async () => {
    for (const worker of workers) {
      if (worker.exitCode !== null || worker.signalCode !== null) continue;
      worker.kill('SIGTERM');
      await once(worker, 'exit');
    }
    await rm(root, { recursive: true, force: true });
    await world.end();
  }, 120_000);

  const startWorker = (): ChildProcess => {
    const worker = fork(join(__dirname, 'main.ts'), [], {
      env: {
        ...process.env,
        DATABASE_URL: world.databaseUrl,
        REDIS_URL: '',
        S3_BUCKET: '',
        LOWRANK_DATA: root,
        LOWRANK_THREADS: '1',
        LOWRANK_LOG_LEVEL: 'error',
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    workers.push(worker);
    return worker;
  };
  let submitted = 0;
  const submit = (overrides: Parameters<typeof submitTestJob>[1] = {}) =>
    submitTestJob(ports, {
      baseModel: { ...baseModel, name: `tiny-${(submitted += 1)}` },
      dataset,
      recipe,
      ...overrides,
    });
  const trained = (id: string, more: number) =>
    until(async () => {
      const { state, step, checkpointStep } = await record(id);
      return state === 'running' && step >= checkpointStep + more;
    });
  const record = async (id: string) => {
    const job = await ports.unitOfWork.run(({ jobs }) => jobs.lock(id));
    if (job === null) throw new Error(`no job ${id}`);
    return job;
  };
  const until = async (condition: () => Promise<boolean>) => {
    while (!(await condition())) await sleep(20);
  };
  const published = async (teamId: string, id: string): Promise<AdapterVersion> => {
    await until(async () => ['succeeded', 'failed', 'cancelled'].includes((await record(id)).state));
    const job = await record(id);
    expect({ state: job.state, error: job.error }).toEqual({ state: 'succeeded', error: null });
    const version = await ports.unitOfWork.run(({ adapters }) => adapters.version(teamId, job.adapter, 1));
    if (version === null) throw new Error('no version');
    return version;
  };
  const weightsOf = ({ files }: AdapterVersion) =>
    files.find(({ path }) => path === 'adapter_model.safetensors')?.sha256;
  const lossesOf = async (id: string) =>
    (await ports.unitOfWork.run(({ jobs }) => jobs.metrics(id, { limit: 1000 }))).map(
      ({ kind, step, loss }) => `${kind} ${step} ${loss}`,
    );
  let undisturbed: AdapterVersion;
  let losses: string[];

  it('trains what is submitted and publishes it', async () => {
    startWorker();
    const { job, teamId } = await submit();
    undisturbed = await published(teamId, job.id);
    losses = await lossesOf(job.id);
    expect(losses.filter((line) => line.startsWith('train'))).toHaveLength(steps);
    const { evalLossBefore, evalLossAfter } = undisturbed.metrics;
    expect(evalLossAfter).toBeLessThan(evalLossBefore as number);
    await until(async () => (await stat(join(root, 'jobs', job.id)).catch(() => null)) === null);
    expect(
      await ports.unitOfWork.run(({ workers: rows }) => rows.seenSince('2000-01-01T00:00:00.000Z')),
    ).toEqual([expect.objectContaining({ slots: 1, device: expect.stringContaining('cpu') })]);
  }, 120_000);

  it('gives the same bytes when the trainer is killed at three random steps', async () => {
    const worker = workers.at(-1) as ChildProcess;
    const { job, teamId } = await submit();
    for (const kill of [1, 2, 3]) {
      const from = (await record(job.id)).step;
      const step = from + 11 + Math.floor(Math.random() * 60);
      await until(async () => {
        const { epoch, step: now, state } = await record(job.id);
        if (state === 'succeeded') throw new Error(`the run ended before attempt ${kill} could be killed`);
        return epoch === kill && state === 'running' && now >= step;
      });
      for (const pid of await childrenOf(worker.pid as number)) process.kill(pid, 'SIGKILL');
      await until(async () => (await record(job.id)).epoch === kill + 1);
    }
    const version = await published(teamId, job.id);
    expect(weightsOf(version)).toBe(weightsOf(undisturbed));
    expect(await lossesOf(job.id)).toEqual(losses);
    const events = await ports.unitOfWork.run(({ jobs }) => jobs.events(job.id, 0, 1000));
    expect(events.filter(({ message }) => message.startsWith('Goes on from the checkpoint'))).toHaveLength(3);
    expect(worker.exitCode).toBeNull();
  }, 180_000);

  it('gives the same bytes when the job is paused twice and resumed', async () => {
    const { job, teamId } = await submit();
    for (const epoch of [1, 2]) {
      await until(async () => (await record(job.id)).epoch === epoch);
      await trained(job.id, 3);
      await pauseJob(ports, teamId, job.id);
      await until(async () => (await record(job.id)).state === 'paused');
      const { step, checkpointStep, workerId } = await record(job.id);
      // Not the checkpoint of every tenth step: the one of the pause.
      expect({ checkpointStep, workerId }).toEqual({ checkpointStep: step, workerId: null });
      await resumeJob(ports, teamId, job.id);
    }
    expect(weightsOf(await published(teamId, job.id))).toBe(weightsOf(undisturbed));
    expect(await lossesOf(job.id)).toEqual(losses);
  }, 180_000);

  it('cancels a job that trains while it trains, and its slot is free then', async () => {
    const { job, teamId } = await submit();
    await trained(job.id, 3);
    await cancelJob(ports, teamId, job.id);
    await until(async () => (await record(job.id)).state === 'cancelled');
    const { job: next } = await submit();
    await trained(next.id, 0);
    await cancelJob(ports, teamId, next.id);
  }, 60_000);

  it('hands its job on when somebody drains it, and takes it again when they let it', async () => {
    const { job, teamId } = await submit();
    await trained(job.id, 3);
    const { workerId } = await record(job.id);
    await drainWorker(ports, workerId as string, 'checkpoint');
    await until(async () => (await record(job.id)).state === 'queued');
    await sleep(1500);
    expect(await record(job.id)).toMatchObject({
      state: 'queued',
      epoch: 2,
      assignedTo: null,
      fruitlessAttempts: 0,
    });
    await drainWorker(ports, workerId as string, null);
    expect(weightsOf(await published(teamId, job.id))).toBe(weightsOf(undisturbed));
  }, 120_000);

  it('takes what a dispatcher of the release before put into the queue that all shared', async () => {
    const { job, teamId } = await submit({ placement: { deviceClasses: ['none-such'] } });
    const queue = new (withBackend(createPostgresBackend).Queue)(sharedQueueName, {
      connection: { connectionString: world.databaseUrl, schema: 'queue_lowrank', migrate: true, max: 1 },
    });
    await queue.add('wake-up', { jobId: job.id, epoch: 1 }, { jobId: `${job.id}-1` });
    await queue.close();
    expect(weightsOf(await published(teamId, job.id))).toBe(weightsOf(undisturbed));
  }, 120_000);

  it('hands its job back when it is asked to leave, and the next worker goes on', async () => {
    const leaving = workers.at(-1) as ChildProcess;
    const { job, teamId } = await submit();
    await until(async () => (await record(job.id)).step >= 20);
    leaving.kill('SIGTERM');
    expect((await once(leaving, 'exit'))[0]).toBe(0);
    expect(await record(job.id)).toMatchObject({ state: 'queued', epoch: 2, fruitlessAttempts: 0 });
    startWorker();
    expect(weightsOf(await published(teamId, job.id))).toBe(weightsOf(undisturbed));
  }, 180_000);
});
