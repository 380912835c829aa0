import { type JobMetric, type SweepWithTrials, webhookPayloadSchema } from '@lowrank/contracts';
import { claimAttempt } from '../attempts/claim-attempt';
import { endAttempt } from '../attempts/end-attempt';
import { publishVersion } from '../attempts/publish-version';
import { reportHeartbeat, reportMetrics, reportPhase, reportPlan } from '../attempts/report-progress';
import { reconcile } from '../dispatch/reconcile';
import { cancelJob } from '../jobs/cancel-job';
import { cloneJob } from '../jobs/clone-job';
import { retryJob } from '../jobs/retry-job';
import { changeQuotas } from '../teams/quotas';
import { team, World } from '../test/world';
import { createWebhook } from '../webhooks/manage';
import { cancelSweep, promoteTrial, sweepWithTrials } from './control-sweep';

let world: World;
beforeEach(() => {
  world = new World();
});

const read = (id: string): Promise<SweepWithTrials> =>
  world.unitOfWork.run((repositories) => sweepWithTrials(repositories, team, id));
const jobIdOf = ({ trials }: SweepWithTrials, trial: number) => trials[trial - 1]?.jobId ?? '';
const sayings = (jobId: string) =>
  world.tables.events.filter((event) => event.jobId === jobId).map(({ message }) => message);

/** Has a trial's current attempt claimed and planned. */
async function start(sweep: SweepWithTrials, trial: number, totalSteps = 90, resumedFromStep = 0) {
  const jobId = jobIdOf(sweep, trial);
  const attempt = { jobId, epoch: world.job(jobId).epoch };
  expect(await claimAttempt(world, attempt, 'wrk_1')).not.toBeNull();
  await reportPlan(world, attempt, { totalSteps, resumedFromStep });
  await reportPhase(world, attempt, 'running');
  return attempt;
}
type Attempt = Awaited<ReturnType<typeof start>>;

const evaluate = (attempt: Attempt, step: number, loss: number, accuracy: number | null = null) => {
  const metric: JobMetric = { ...world.metric(step, 'eval'), loss, accuracy };
  return reportMetrics(world, attempt, { metrics: [metric], trainedTokens: step });
};

/** Publishes with that held-out loss. */
async function finish(attempt: Attempt, evalLossAfter: number, evalAccuracyAfter: number | null = null) {
  await reportPhase(world, attempt, 'publishing');
  const manifest = world.manifest(attempt.jobId, attempt.epoch);
  const metrics = { ...manifest.metrics, evalLossAfter, evalAccuracyAfter };
  return publishVersion(world, attempt, { ...manifest, metrics });
}

describe('submitSweep', () => {
  it('queues a job a trial, in the order of their numbers', async () => {
    const sweep = await world.submitSweep({ priority: 5 });
    expect(sweep).toMatchObject({
      state: 'running',
      adapter: 'captain',
      metric: 'loss',
      promoted: null,
      trialCount: 3,
      finishedCount: 0,
    });
    expect(sweep.trials).toMatchObject([
      { number: 1, parameters: { 'lora.rank': 2 }, state: 'queued', result: null },
      { number: 2, parameters: { 'lora.rank': 4 }, state: 'queued', result: null },
      { number: 3, parameters: { 'lora.rank': 8 }, state: 'queued', result: null },
    ]);
    const waiting = await world.unitOfWork.run(({ jobs }) => jobs.waiting(world.clock.now(), 9));
    expect(waiting.map(({ id }) => world.job(id).recipe.lora.rank)).toEqual([2, 4, 8]);
    expect(world.job(jobIdOf(sweep, 2))).toMatchObject({ priority: 5, sweep: { id: sweep.id, trial: 2 } });
    expect(sayings(jobIdOf(sweep, 3))).toEqual(['Submitted: 40 rows of chats.jsonl on tiny.']);
    // News for the dispatcher, which needs no more.
    expect(world.tables.outbox).toHaveLength(1);
  });

  it('queues all trials or none', async () => {
    await changeQuotas(world, team, { maxQueued: 2 });
    await expect(world.submitSweep()).rejects.toThrow('has 0 jobs waiting and wants 3 more; it may have 2.');
    await expect(
      world.submitSweep({ space: { 'training.sequenceLength': { values: [1024, 4096] } } }),
    ).rejects.toMatchObject({
      code: 'recipe_invalid',
      details: [{ path: 'space.training.sequenceLength', message: expect.stringContaining('trial 2 (') }],
    });
    expect(world.tables.jobs).toEqual([]);
    expect(world.tables.sweeps).toEqual([]);
    await changeQuotas(world, team, { maxQueued: 3 });
    await world.submitSweep();
  });

  it('keeps the time that patterns of all trials take together within bounds', async () => {
    const sweep = world.submitSweep({
      recipe: { lora: { targets: '(.*.*.*.*)*x' } },
      space: { 'optimizer.learningRate': { min: 1e-5, max: 1e-3 } },
      method: { type: 'random', trials: 100 },
    });
    await expect(sweep).rejects.toMatchObject({
      code: 'recipe_invalid',
      details: [{ path: 'recipe.lora.targets', message: expect.stringContaining('takes too long') }],
    });
  });
});

describe('a sweep whose trials are over', () => {
  it('has the best promoted with the last of them, and nothing before', async () => {
    const sweep = await world.submitSweep();
    const attempts = [await start(sweep, 1), await start(sweep, 2), await start(sweep, 3)] as const;
    await finish(attempts[0], 1.5);
    await finish(attempts[2], 1.2);
    expect(world.tables.versions).toEqual([]);
    expect(await read(sweep.id)).toMatchObject({ state: 'running', finishedCount: 2 });
    expect(world.job(jobIdOf(sweep, 3))).toMatchObject({ state: 'succeeded', version: null });

    world.pass(1000);
    await finish(attempts[1], 1.4);
    expect(await read(sweep.id)).toMatchObject({
      state: 'succeeded',
      promoted: { trial: 3, version: 1 },
      finishedAt: world.clock.now(),
      trials: [{ version: null, result: { loss: 1.5 } }, { version: null }, { version: 1 }],
    });
    expect(world.tables.versions).toMatchObject([{ number: 1, jobId: jobIdOf(sweep, 3) }]);
    expect(world.job(jobIdOf(sweep, 3)).version).toBe(1);
    expect(sayings(jobIdOf(sweep, 3)).at(-1)).toBe('Promoted: published as captain v1.');
    expect(sayings(jobIdOf(sweep, 1)).at(-1)).toBe('Trial 1 is done: held-out loss 1.5000.');
  });

  it('tells webhooks, once for each sweep', async () => {
    await createWebhook(world, team, {
      url: 'https://hooks.example/',
      events: ['sweep.succeeded', 'sweep.cancelled'],
    });
    const sweep = await world.submitSweep({ space: { 'lora.rank': { values: [2, 4] } } });
    await finish(await start(sweep, 2), 1.5);
    await finish(await start(sweep, 1), 1.25);
    await promoteTrial(world, team, sweep.id, 2);
    const cancelled = await world.submitSweep();
    await cancelSweep(world, team, cancelled.id);
    const payloads = world.tables.deliveries.map(({ body }) => webhookPayloadSchema.parse(JSON.parse(body)));
    expect(payloads).toEqual([
      {
        type: 'sweep.succeeded',
        timestamp: world.clock.now(),
        data: {
          sweepId: sweep.id,
          state: 'succeeded',
          adapter: 'captain',
          baseModel: 'tiny',
          trialCount: 2,
          promoted: { trial: 1, version: 1 },
        },
      },
      expect.objectContaining({ type: 'sweep.cancelled' }),
    ]);
  });

  it('chooses by accuracy when that is its metric', async () => {
    const sweep = await world.submitSweep({ metric: 'accuracy' });
    await finish(await start(sweep, 1), 1, 0.4);
    await finish(await start(sweep, 2), 2, 0.6);
    await finish(await start(sweep, 3), 3, 0.5);
    expect(await read(sweep.id)).toMatchObject({ promoted: { trial: 2 } });
  });

  it('promotes among those that succeeded, whoever ends last', async () => {
    const sweep = await world.submitSweep();
    await finish(await start(sweep, 2), 1.5);
    const failing = await start(sweep, 1);
    await endAttempt(world, failing, {
      type: 'failed',
      code: 'loss_not_finite',
      message: 'NaN',
      retryable: false,
    });
    await cancelJob(world, team, jobIdOf(sweep, 3));
    expect(await read(sweep.id)).toMatchObject({ state: 'succeeded', promoted: { trial: 2, version: 1 } });
  });

  it('fails when none succeeded, and can still be saved by hand', async () => {
    const sweep = await world.submitSweep({
      deadline: new Date(Date.parse(world.clock.now()) + 5000).toISOString(),
    });
    world.pass(6000);
    await reconcile(world, world.queue, { silentAfterMs: 1e6, forgetAfterMs: 1e9 });
    expect(await read(sweep.id)).toMatchObject({ state: 'failed', finishedCount: 3, promoted: null });
    await expect(promoteTrial(world, team, sweep.id, 1)).rejects.toThrow('is failed');
  });

  it('lets another trial be promoted, each once', async () => {
    const sweep = await world.submitSweep({ space: { 'lora.rank': { values: [2, 4] } } });
    await finish(await start(sweep, 1), 1.5);
    await expect(promoteTrial(world, team, sweep.id, 1)).rejects.toMatchObject({
      code: 'illegal_transition',
    });
    await finish(await start(sweep, 2), 1.4);
    expect(await promoteTrial(world, team, sweep.id, 1)).toMatchObject({
      promoted: { trial: 1, version: 2 },
    });
    expect(await promoteTrial(world, team, sweep.id, 1)).toMatchObject({
      promoted: { trial: 1, version: 2 },
    });
    expect(await promoteTrial(world, team, sweep.id, 2)).toMatchObject({
      promoted: { trial: 2, version: 1 },
    });
    expect(world.tables.versions).toHaveLength(2);
    await expect(promoteTrial(world, team, sweep.id, 3)).rejects.toMatchObject({ code: 'not_found' });
    await expect(promoteTrial(world, 'team_other', sweep.id, 1)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('publishes a trial once, whatever older attempts say', async () => {
    const sweep = await world.submitSweep({ space: { 'lora.rank': { values: [2] } } });
    const first = await start(sweep, 1);
    await reportPhase(world, first, 'publishing');
    await endAttempt(world, first, { type: 'crashed', message: 'gone' });
    expect(await finish(first, 1)).toBeNull();
    const second = await start(sweep, 1);
    await finish(second, 1.1);
    expect(await finish(second, 0.9)).toBeNull();
    expect(await read(sweep.id)).toMatchObject({
      promoted: { version: 1 },
      trials: [{ result: { loss: 1.1 } }],
    });
    expect(world.tables.versions).toHaveLength(1);
  });
});

describe('cancelSweep', () => {
  it('cancels those that wait at once, has those that run stopped, and promotes nothing', async () => {
    const sweep = await world.submitSweep();
    await finish(await start(sweep, 1), 1);
    const running = await start(sweep, 2);
    expect(await cancelSweep(world, team, sweep.id)).toMatchObject({
      state: 'running',
      cancelRequested: true,
      trials: [{ state: 'succeeded' }, { state: 'running' }, { state: 'cancelled' }],
    });
    await cancelSweep(world, team, sweep.id);
    expect(await reportHeartbeat(world, running)).toBe('cancel');
    await endAttempt(world, running, { type: 'cancelled' });
    expect(await read(sweep.id)).toMatchObject({ state: 'cancelled', promoted: null });
    expect(world.tables.versions).toEqual([]);
    await expect(cancelSweep(world, team, sweep.id)).rejects.toMatchObject({ code: 'illegal_transition' });
    expect(await promoteTrial(world, team, sweep.id, 1)).toMatchObject({
      state: 'succeeded',
      promoted: { trial: 1, version: 1 },
    });
  });

  it('is over at once when no trial runs', async () => {
    const sweep = await world.submitSweep();
    expect(await cancelSweep(world, team, sweep.id)).toMatchObject({ state: 'cancelled', finishedCount: 3 });
    await expect(cancelSweep(world, 'team_other', sweep.id)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('the reconciler', () => {
  const mend = () => reconcile(world, world.queue, { silentAfterMs: 1e6, forgetAfterMs: 1e9 });

  it('goes on with a cancellation that broke off', async () => {
    const sweep = await world.submitSweep();
    const running = await start(sweep, 1);
    Object.assign(world.tables.sweeps[0] as object, { cancelRequested: true });
    await mend();
    expect(await reportHeartbeat(world, running)).toBe('cancel');
    await endAttempt(world, running, { type: 'cancelled' });
    expect(await read(sweep.id)).toMatchObject({ state: 'cancelled', finishedCount: 3 });
  });

  it('ends a sweep whose trials were ended by a worker that knows no sweeps', async () => {
    const sweep = await world.submitSweep({ space: { 'lora.rank': { values: [2] } } });
    Object.assign(world.job(jobIdOf(sweep, 1)), { state: 'cancelled' });
    await mend();
    expect(await read(sweep.id)).toMatchObject({ state: 'failed' });
  });
});

describe('a trial of ASHA', () => {
  // Rungs after 10, 30 and 90 steps; the last is the end.
  const asha = () =>
    world.submitSweep({
      space: { 'optimizer.learningRate': { min: 1e-5, max: 1e-2, scale: 'log' } },
      method: { type: 'asha', trials: 4, minimum: 10, reduction: 3 },
    });

  it('goes on as long as it is among the best, and is stopped when it is not', async () => {
    const sweep = await asha();
    const [first, second] = [await start(sweep, 1), await start(sweep, 2)];
    expect(await evaluate(first, 10, 2.5)).toBe('go on');
    expect(await evaluate(second, 10, 2.25)).toBe('go on');
    const third = await start(sweep, 3);
    expect(await evaluate(third, 10, 2.4)).toBe('cancel');
    expect(await reportHeartbeat(world, first)).toBe('go on');
    expect(await reportHeartbeat(world, second)).toBe('go on');
    expect(await reportHeartbeat(world, third)).toBe('cancel');
    const stopped = { rung: 0, step: 10, value: 2.4, needed: 2.25 };
    expect(world.job(third.jobId)).toMatchObject({ state: 'running', stoppedEarly: stopped });

    await endAttempt(world, third, { type: 'cancelled' });
    expect(world.job(third.jobId).state).toBe('cancelled');
    expect(sayings(third.jobId).slice(-2)).toEqual([
      'Stopped early at rung 0 (step 10): held-out loss 2.4, needed 2.25. The trainer stops.',
      'Stopped early at rung 0, after step 10.',
    ]);
    const { trials } = await read(sweep.id);
    expect(trials[2]).toMatchObject({
      stoppedEarly: stopped,
      rung: 0,
      latest: { step: 10, loss: 2.4 },
      result: null,
    });
    expect(world.tables.metrics.filter(({ jobId }) => jobId === third.jobId)).toHaveLength(1);
  });

  it('is judged at a rung once, however often it comes there', async () => {
    const sweep = await asha();
    const first = await start(sweep, 1);
    await evaluate(first, 10, 2.5);
    await endAttempt(world, first, { type: 'crashed', message: 'gone' });
    const second = await start(sweep, 2);
    await evaluate(second, 10, 2);
    // Now it would not be good enough any more, but it was when its turn was.
    const again = await start(sweep, 1);
    await evaluate(again, 10, 2.5);
    expect(await reportHeartbeat(world, again)).toBe('go on');
    expect(world.tables.rungs).toHaveLength(2);
    await evaluate(second, 30, 1.9);
    await evaluate(again, 30, 1.95);
    expect(await reportHeartbeat(world, again)).toBe('cancel');
  });

  it('is judged at rungs only, and not by the loss before the first step', async () => {
    const sweep = await asha();
    const first = await start(sweep, 1);
    const second = await start(sweep, 2);
    await evaluate(first, 10, 1);
    for (const step of [0, 9, 11, 29]) await evaluate(second, step, 9);
    await reportMetrics(world, second, { metrics: [world.metric(10)], trainedTokens: 1 });
    expect(world.tables.rungs).toHaveLength(1);
    expect(await reportHeartbeat(world, second)).toBe('go on');
  });

  it('counts like any other when it was done before the order to stop came', async () => {
    const sweep = await asha();
    const [first, second] = [await start(sweep, 1), await start(sweep, 2)];
    await evaluate(first, 30, 2);
    await evaluate(second, 30, 2.1);
    await finish(second, 1);
    expect(world.job(second.jobId)).toMatchObject({ state: 'succeeded', stoppedEarly: null });
    await finish(first, 1.1);
    for (const trial of [3, 4]) await cancelJob(world, team, jobIdOf(sweep, trial));
    expect(await read(sweep.id)).toMatchObject({ state: 'succeeded', promoted: { trial: 2 } });
  });

  it('ends a sweep when the last of them is stopped', async () => {
    const sweep = await asha();
    await finish(await start(sweep, 1), 1);
    for (const trial of [2, 3]) await cancelJob(world, team, jobIdOf(sweep, trial));
    const last = await start(sweep, 4);
    Object.assign(world.job(last.jobId), { deadline: world.clock.now() });
    world.tables.rungs.push({ sweepId: sweep.id, rung: 0, trial: 1, value: 1 });
    await evaluate(last, 10, 2);
    // Its deadline has come as well; that it was stopped is what happened.
    await endAttempt(world, last, { type: 'cancelled' });
    expect(world.job(last.jobId)).toMatchObject({ state: 'cancelled', error: null });
    expect(await read(sweep.id)).toMatchObject({ state: 'succeeded', promoted: { trial: 1 } });
  });

  it('can be tried again, and cloned into a job of its own', async () => {
    const sweep = await asha();
    const [first, second] = [await start(sweep, 1), await start(sweep, 2)];
    await evaluate(first, 10, 1);
    await evaluate(second, 10, 2);
    await endAttempt(world, second, { type: 'cancelled' });
    expect(await retryJob(world, team, second.jobId)).toMatchObject({ state: 'queued', stoppedEarly: null });
    const again = await start(sweep, 2);
    await evaluate(again, 10, 2);
    expect(await reportHeartbeat(world, again)).toBe('go on');
    expect(await cloneJob(world, team, second.jobId, {})).toMatchObject({
      sweep: null,
      clonedFrom: second.jobId,
    });
  });
});
