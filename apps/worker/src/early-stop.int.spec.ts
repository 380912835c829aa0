import { createSweepSchema } from '@lowrank/contracts';
import { claimAttempt, type Ports, reportMetrics, reportPlan, submitSweep } from '@lowrank/domain';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WorkerMetrics } from './metrics/worker-metrics';
import { submitTestJob } from './test/submit';
import { superviseIn } from './test/supervise';
import { testWorld, type World } from './test/world';

/** Longer than any test: nothing here is told by a heartbeat. */
const never = 3_600_000;

describe('a trial that is stopped early', () => {
  let world: World;
  let ports: Ports;
  let folder: string;
  beforeAll(async () => {
    world = await testWorld();
    ports = world.ports;
    folder = await mkdtemp(join(tmpdir(), 'lowrank-early-stop-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
    await world.end();
  });

  it('is stopped by the answer to its own evaluation, without waiting for a heartbeat', async () => {
    const { teamId, job } = await submitTestJob(ports);
    const sweep = await submitSweep(
      ports,
      teamId,
      createSweepSchema.parse({
        ...{ baseModel: job.baseModel.name, dataset: job.dataset.id, adapter: 'swept' },
        recipe: { evaluation: { fraction: 0.1 }, training: { steps: 90 } },
        space: { 'optimizer.learningRate': { min: 1e-5, max: 1e-2, scale: 'log' } },
        method: { type: 'asha', trials: 2, minimum: 10, reduction: 3 },
      }),
    );
    const { data } = await ports.unitOfWork.run(({ jobs }) =>
      jobs.list(teamId, { limit: 10, sweep: sweep.id }),
    );
    const [better, worse] = data.map(({ id }) => ({ jobId: id, epoch: 1 }));
    if (better === undefined || worse === undefined) throw new Error('a sweep of two has two trials');
    await claimAttempt(ports, better, ports.ids.make('worker'));
    await reportPlan(ports, better, { totalSteps: 90, resumedFromStep: 0 });
    const evaluation = {
      ...{ step: 10, at: ports.clock.now(), kind: 'eval' as const, loss: 2, learningRate: null },
      ...{ gradNorm: null, tokensPerSecond: null, epochs: 1, accuracy: null, rewardMargin: null },
    };
    await reportMetrics(ports, better, { metrics: [evaluation], trainedTokens: 10 });

    const supervisor = await superviseIn({ folder, ports, metrics: new WorkerMetrics() }, 'evaluates', {
      timings: { heartbeat: never, cancelGrace: never },
    });
    await supervisor.handle({ ...worse, workerId: null });
    expect(await ports.unitOfWork.run(({ jobs }) => jobs.lock(worse.jobId))).toMatchObject({
      state: 'cancelled',
      stoppedEarly: { rung: 0, step: 10, value: 3, needed: 2 },
    });
  }, 60_000);
});
