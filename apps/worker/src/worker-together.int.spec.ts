import { type RecipeInput } from '@lowrank/contracts';
import { cancelJob, pauseJob, type Ports, resumeJob } from '@lowrank/domain';
import { childrenOf } from '@lowrank/testing';
import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { type Machines, startMachines, until, weightsOf } from './test/machines';
import { type Submitted } from './test/submit';

/** Four jobs that differ in what jobs that train together may differ in; long enough to be interfered with. */
const recipes: RecipeInput[] = [4, 8, 2, 4].map((rank, i) => ({
  lora: { rank, dropout: i / 20 },
  training: { steps: 400 + 50 * i, sequenceLength: 64, rows: 1, compute: 'f32', seed: i },
  optimizer: { learningRate: 0.01 },
  evaluation: { fraction: 0.1 },
  checkpoints: { everySteps: 20 },
}));
const placement = { memoryBytes: 2 ** 26 };

/** A worker process with one slot, and a trainer in which several jobs train together. */
describe('worker, with jobs on one base', () => {
  let machines: Machines;
  let ports: Ports;
  let worker: ChildProcess;
  let first: Submitted;
  /** SHA-256 of what each recipe gives alone. */
  const alone: (string | undefined)[] = [];

  const records = (jobs: Submitted[]) => Promise.all(jobs.map(({ job }) => machines.record(job.id)));
  /** Unlike a record, read without a lock: a job that is locked when its lead is claimed is not claimed with it. */
  const seen = (jobs: Submitted[]) =>
    Promise.all(jobs.map(({ teamId, job }) => ports.unitOfWork.read((of) => of.jobs.find(teamId, job.id))));
  const bytesOf = async (jobs: Submitted[]) => {
    const bytes = [];
    for (const job of jobs) bytes.push(weightsOf(await machines.published(job)));
    return bytes;
  };
  /** What becomes of a job that is to stop. */
  const stopped = async ({ job }: Submitted): Promise<string> => {
    const state = async () => (await machines.record(job.id)).state;
    await until(async () => ['cancelled', 'paused', 'succeeded'].includes(await state()));
    return state();
  };
  /** Has the worker go; it is not to be there for the next test. */
  const leave = async () => {
    worker.kill('SIGTERM');
    expect((await once(worker, 'exit'))[0]).toBe(0);
  };
  /** All are submitted while no worker is there, so that the first is claimed with the others; resolves when all train. */
  const submitAll = async (): Promise<Submitted[]> => {
    const jobs: Submitted[] = [];
    for (const recipe of recipes) jobs.push(await machines.submit({ recipe, placement, like: first.job }));
    worker = machines.startWorker('alfa');
    await until(async () => (await seen(jobs)).every((job) => (job?.step ?? 0) > 0));
    for (const { job } of jobs)
      expect((await machines.messagesOf(job.id)).join()).toContain('together with 3 other jobs');
    expect(await childrenOf(worker.pid as number)).toHaveLength(1);
    return jobs;
  };

  beforeAll(async () => {
    machines = await startMachines(1);
    ports = machines.ports;
    worker = machines.startWorker('alfa', { LOWRANK_JOBS_PER_TRAINER: '1' });
    first = await machines.submit({ recipe: recipes[0], placement });
    const jobs = [first];
    for (const recipe of recipes.slice(1))
      jobs.push(await machines.submit({ recipe, placement, like: first.job }));
    alone.push(...(await bytesOf(jobs)));
    await leave();
  }, 600_000);
  afterEach(async () => {
    if (worker.exitCode === null) await leave();
  }, 120_000);
  afterAll(() => machines.end(), 120_000);

  it('trains them in one process, each to the bytes that it has alone, whatever becomes of the others', async () => {
    const jobs = await submitAll();
    const [one, second, third, fourth] = jobs as [Submitted, Submitted, Submitted, Submitted];
    const { teamId } = one;
    // Both at once: on a slow machine the third would else be through before it is paused.
    await Promise.all([cancelJob(ports, teamId, second.job.id), pauseJob(ports, teamId, third.job.id)]);
    expect([await stopped(second), await stopped(third)]).toEqual(['cancelled', 'paused']);
    await resumeJob(ports, teamId, third.job.id);
    expect(await bytesOf([one, third, fourth])).toEqual([0, 2, 3].map((i) => alone[i]));
    const { deviceSeconds, startedAt, finishedAt } = await machines.record(one.job.id);
    const held = (Date.parse(finishedAt as string) - Date.parse(startedAt as string)) / 1000;
    expect(deviceSeconds).toBeLessThan(held);
    expect(await ports.unitOfWork.run(({ parties }) => parties.list())).toEqual([]);
  }, 600_000);

  it('goes on from the checkpoints of all when the trainer is killed', async () => {
    const jobs = await submitAll();
    await until(async () => (await records(jobs)).every(({ checkpointStep }) => checkpointStep > 0));
    for (const pid of await childrenOf(worker.pid as number)) process.kill(pid, 'SIGKILL');
    expect(await bytesOf(jobs)).toEqual(alone);
    expect((await records(jobs)).map(({ epoch }) => epoch)).toEqual([2, 2, 2, 2]);
  }, 600_000);

  it('hands all on when it leaves, each with a checkpoint', async () => {
    const jobs = await submitAll();
    await leave();
    for (const { step, checkpointStep, ...job } of await records(jobs)) {
      expect(job).toMatchObject({ state: 'queued', epoch: 2, party: null, fruitlessAttempts: 0 });
      expect(checkpointStep).toBe(step);
    }
    worker = machines.startWorker('alfa');
    expect(await bytesOf(jobs)).toEqual(alone);
  }, 600_000);
});
