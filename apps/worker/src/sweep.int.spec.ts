import { createSweepSchema, type SweepWithTrials } from '@lowrank/contracts';
import { addBaseModel, addDataset, type Ports, submitSweep, sweepWithTrials } from '@lowrank/domain';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { storeTiny } from './test/tiny';
import { testWorld, type World } from './test/world';

/** A worker process with real trainers works off sweeps, on real Postgres. */
describe('a sweep', () => {
  let world: World;
  let ports: Ports;
  let root: string;
  let teamId: string;
  let datasetId: string;
  let worker: ChildProcess;

  beforeAll(async () => {
    world = await testWorld();
    ports = world.ports;
    root = await mkdtemp(join(tmpdir(), 'lowrank-sweep-'));
    const { baseModel, dataset } = await storeTiny(root);
    teamId = await ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('test'));
    await addBaseModel(ports, teamId, baseModel);
    datasetId = (await addDataset(ports, teamId, dataset)).id;
    worker = fork(join(__dirname, 'main.ts'), [], {
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
  }, 120_000);

  afterAll(async () => {
    worker.kill('SIGTERM');
    await once(worker, 'exit');
    await rm(root, { recursive: true, force: true });
    await world.end();
  }, 120_000);

  /** Submits a sweep and waits until it is over. */
  const run = async (request: Record<string, unknown>): Promise<SweepWithTrials> => {
    // Known, as an estimate would tell it: trials share a trainer as far as memory goes.
    const placement = { memoryBytes: 2 ** 26 };
    const body = { baseModel: 'tiny', dataset: datasetId, adapter: 'swept', placement, ...request };
    const { id } = await submitSweep(ports, teamId, createSweepSchema.parse(body));
    for (;;) {
      const sweep = await ports.unitOfWork.read((repositories) => sweepWithTrials(repositories, teamId, id));
      if (sweep.state !== 'running') return sweep;
      await sleep(200);
    }
  };
  const recipe = (steps: number) => ({
    lora: { rank: 4 },
    training: { steps, sequenceLength: 64, rows: 2, compute: 'f32' },
    evaluation: { fraction: 0.1 },
    checkpoints: { everySteps: 1000 },
  });
  const versions = () => ports.unitOfWork.run(({ adapters }) => adapters.versions(teamId, 'swept'));
  const metrics = (jobId: string) =>
    ports.unitOfWork.run(({ jobs }) => jobs.metrics(jobId, { limit: 10_000 }));

  it('over a grid publishes the trial with the lowest held-out loss, and no other', async () => {
    const sweep = await run({
      recipe: recipe(60),
      space: { 'optimizer.learningRate': { values: [1e-6, 1e-2] }, 'lora.rank': { values: [2, 4] } },
      method: { type: 'grid' },
    });
    expect(sweep).toMatchObject({ state: 'succeeded', trialCount: 4, finishedCount: 4 });
    for (const { jobId } of sweep.trials) {
      const events = await ports.unitOfWork.run(({ jobs }) => jobs.events(jobId, 0, 100));
      expect(events.map(({ message }) => message).join('\n')).toContain('together with 3 other jobs');
    }
    const losses = sweep.trials.map(({ result }) => result?.loss ?? Infinity);
    // A rate of one in a million learns nothing in so few steps.
    expect(Math.max(...losses.slice(2))).toBeLessThan(Math.min(...losses.slice(0, 2)));
    const best = losses.indexOf(Math.min(...losses)) + 1;
    expect(sweep.promoted).toEqual({ trial: best, version: 1 });
    expect(sweep.trials.map(({ version }) => version)).toEqual(
      sweep.trials.map(({ number }) => (number === best ? 1 : null)),
    );
    const published = await versions();
    expect(published).toMatchObject([{ number: 1, jobId: sweep.trials[best - 1]?.jobId }]);
    expect(published[0]?.metrics.evalLossAfter).toBe(Math.min(...losses));
    expect(published[0]?.recipe).toMatchObject({ optimizer: { learningRate: 1e-2 } });
  }, 240_000);

  it('by ASHA stops bad trials at a rung, and keeps what they measured', async () => {
    // Steps enough for the order to stop to come before the end, on a busy machine too: trials are judged after 80 first.
    const steps = 4000;
    const sweep = await run({
      recipe: recipe(steps),
      space: { 'optimizer.learningRate': { values: [1e-3, 1e-6, 1e-7] } },
      method: { type: 'asha', trials: 3, seed: 4, minimum: 0.02, reduction: 4 },
      // One after the other, the best first: of trials side by side that report from the worst to the best each is the best so far, and none stops.
      maxConcurrent: 1,
    });
    expect(sweep).toMatchObject({ state: 'succeeded', promoted: { version: 2 } });
    const rate = (number: number) => sweep.trials[number - 1]?.parameters['optimizer.learningRate'];
    expect([1, 2, 3].map(rate)).toEqual([1e-3, 1e-6, 1e-7]);
    expect(sweep.promoted?.trial).toBe(1);
    const stopped = sweep.trials.filter(({ stoppedEarly }) => stoppedEarly !== null);
    expect(stopped.map(({ number }) => number)).toEqual([2, 3]);
    for (const { jobId, state, step, stoppedEarly } of stopped) {
      expect(state).toBe('cancelled');
      expect(step).toBeLessThan(steps);
      const { rung = 0, step: judgedAt = 0, value, needed = 0 } = stoppedEarly ?? {};
      expect(judgedAt).toBe(80 * 4 ** rung);
      expect(needed).toBeLessThan(value ?? 0);
      const kept = await metrics(jobId);
      // It trains on until the order reaches it, so there may be more.
      const evaluations = kept.filter(({ kind }) => kind === 'eval').map((one) => [one.step, one.loss]);
      expect(evaluations.slice(0, rung + 2).map(([at]) => at)).toEqual([0, 80, 320, 1280].slice(0, rung + 2));
      expect(evaluations[rung + 1]).toEqual([judgedAt, value]);
      expect(kept.filter(({ kind }) => kind === 'train').length).toBeGreaterThanOrEqual(judgedAt);
      const events = await ports.unitOfWork.run(({ jobs }) => jobs.events(jobId, 0, 100));
      expect(events.at(-1)).toMatchObject({
        state: 'cancelled',
        message: expect.stringMatching(/^Stopped early at rung/),
      });
      expect(await ports.unitOfWork.run(({ jobs }) => jobs.log(jobId, 0, 100))).not.toEqual([]);
    }
  }, 240_000);
});
