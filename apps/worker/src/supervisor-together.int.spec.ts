import { cancelJob, endAttempt, type Ports } from '@lowrank/domain';
import { makeWorker } from '@lowrank/testing';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerMetrics } from './metrics/worker-metrics';
import { submitTestJob } from './test/submit';
import { superviseIn, type TestTrainer } from './test/supervise';
import { testWorld, type World } from './test/world';

describe('Supervisor, with several jobs in one trainer', () => {
  let world: World;
  let ports: Ports;
  let folder: string;
  beforeAll(async () => {
    world = await testWorld();
    ports = world.ports;
    folder = await mkdtemp(join(tmpdir(), 'lowrank-together-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
    await world.end();
  });
  const metrics = new WorkerMetrics();
  const record = (id: string) => ports.unitOfWork.run(({ jobs }) => jobs.lock(id));
  const until = async (condition: () => Promise<boolean>) => {
    while (!(await condition())) await sleep(20);
  };

  /** A lead, whose wake-up is handled, and as many others on its base. */
  const together = async (script: TestTrainer, count: number) => {
    const recipe = { training: { rows: 1, sequenceLength: 64 } };
    const { job, teamId } = await submitTestJob(ports, { recipe });
    const ids = [job.id];
    for (let i = 1; i < count; i += 1) ids.push((await submitTestJob(ports, { recipe, like: job })).job.id);
    const worker = makeWorker({ memoryBytes: 0 });
    const supervisor = await superviseIn({ folder, ports, metrics }, script, {
      jobsPerTrainer: count,
      workerId: worker.id,
    });
    await ports.unitOfWork.run(async ({ workers, jobs }) => {
      await workers.upsert(worker);
      await jobs.update(job.id, 1, { assignedTo: worker.id });
    });
    const handled = supervisor.handle({ jobId: job.id, epoch: 1, workerId: worker.id });
    return { ids, teamId, supervisor, handled };
  };
  /** Read without a lock: a job that is locked when its lead is claimed is not claimed with it. */
  const states = async (ids: string[]) => {
    const teamId = await ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('test'));
    const jobs = ids.map((id) => ports.unitOfWork.read((of) => of.jobs.find(teamId, id)));
    return (await Promise.all(jobs)).map((job) => job?.state);
  };
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
