import { loadConfig } from '@lowrank/config';
import { type AdapterVersion, type RecipeInput } from '@lowrank/contracts';
import { type JobRecord, type ObjectStore, type Ports } from '@lowrank/domain';
import { createObjectStore } from '@lowrank/storage';
import { childrenOf } from '@lowrank/testing';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { submitTestJob, type Submitted } from './submit';
import { storeTiny } from './tiny';
import { testWorld } from './world';

/** Fast steps, and a checkpoint every ten. */
const recipeOf = (steps: number): RecipeInput => ({
  lora: { rank: 4, dropout: 0.1 },
  training: { steps, sequenceLength: 64, rows: 2, compute: 'f32' },
  optimizer: { learningRate: 0.01 },
  evaluation: { fraction: 0.1 },
  checkpoints: { everySteps: 10 },
});

/** Workers with real trainers as processes, on machines that share Postgres and the object store and nothing else. */
export interface Machines {
  ports: Ports;
  databaseUrl: string;
  store: ObjectStore;
  /** A machine's data folder. */
  folderOf(machine: string): string;
  startWorker(machine: string, env?: NodeJS.ProcessEnv): ChildProcess;
  /** Submits a job on a tiny model. */
  submit(overrides?: Parameters<typeof submitTestJob>[1]): Promise<Submitted>;
  record(id: string): Promise<JobRecord>;
  /** Until a job that runs is so many steps beyond its last checkpoint. */
  trained(id: string, more: number): Promise<void>;
  /** Until a job has succeeded; fails at once when it ends otherwise. */
  published(submitted: Submitted): Promise<AdapterVersion>;
  lossesOf(id: string): Promise<string[]>;
  messagesOf(id: string): Promise<string[]>;
  end(): Promise<void>;
}

export const weightsOf = ({ files }: AdapterVersion): string | undefined =>
  files.find(({ path }) => path === 'adapter_model.safetensors')?.sha256;

export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(50);
}

/** Ends a worker and its trainers as a power cut does. */
export async function cutPower(worker: ChildProcess): Promise<void> {
  const pids = [...(await childrenOf(worker.pid as number)), worker.pid as number];
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit');
}

/** `steps`: of every job. `s3`: environment variables of an S3 server; without them the machines share a folder. */
export async function startMachines(
  steps: number,
  s3: NodeJS.ProcessEnv = { S3_BUCKET: '' },
): Promise<Machines> {
  const world = await testWorld();
  const { ports, databaseUrl } = world;
  const root = await mkdtemp(join(tmpdir(), 'lowrank-machines-'));
  const objects = join(root, 'objects');
  await mkdir(objects);
  const store = createObjectStore({ s3: loadConfig(s3).s3, folder: objects });
  const { baseModel, dataset } = await storeTiny(root, store);
  const workers: ChildProcess[] = [];
  const folderOf = (machine: string) => join(root, machine);
  const record = async (id: string) => {
    const job = await ports.unitOfWork.run(({ jobs }) => jobs.lock(id));
    if (job === null) throw new Error(`no job ${id}`);
    return job;
  };
  let submitted = 0;
  return {
    ...{ ports, databaseUrl, store, folderOf, record },
    startWorker(machine, env = {}) {
      const dataDir = folderOf(machine);
      if (mkdirSync(dataDir, { recursive: true })) symlinkSync(objects, join(dataDir, 'objects'));
      const worker = fork(join(__dirname, '../main.ts'), [], {
        env: {
          ...process.env,
          DATABASE_URL: databaseUrl,
          // The fewest: a transaction that waited for another within itself would never end.
          LOWRANK_DATABASE_CONNECTIONS: '1',
          REDIS_URL: '',
          ...s3,
          LOWRANK_DATA: dataDir,
          LOWRANK_THREADS: '1',
          LOWRANK_LOG_LEVEL: 'error',
          ...env,
        },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      workers.push(worker);
      return worker;
    },
    submit: (overrides = {}) =>
      submitTestJob(ports, {
        baseModel: { ...baseModel, name: `tiny-${(submitted += 1)}` },
        dataset,
        recipe: recipeOf(steps),
        ...overrides,
      }),
    trained: (id, more) =>
      until(async () => {
        const { state, step, checkpointStep } = await record(id);
        return state === 'running' && step >= checkpointStep + more;
      }),
    async published({ teamId, job: { id } }) {
      await until(async () => ['succeeded', 'failed', 'cancelled'].includes((await record(id)).state));
      const job = await record(id);
      expect({ state: job.state, error: job.error }).toEqual({ state: 'succeeded', error: null });
      const version = await ports.unitOfWork.run(({ adapters }) => adapters.version(teamId, job.adapter, 1));
      if (version === null) throw new Error('no version');
      return version;
    },
    lossesOf: async (id) =>
      (await ports.unitOfWork.run(({ jobs }) => jobs.metrics(id, { limit: 1000 }))).map(
        ({ kind, step, loss }) => `${kind} ${step} ${loss}`,
      ),
    messagesOf: async (id) =>
      (await ports.unitOfWork.run(({ jobs }) => jobs.events(id, 0, 1000))).map(({ message }) => message),
    async end() {
      for (const worker of workers) {
        if (worker.exitCode !== null || worker.signalCode !== null) continue;
        worker.kill('SIGTERM');
        await once(worker, 'exit');
      }
      await rm(root, { recursive: true, force: true });
      await world.end();
    },
  };
}
