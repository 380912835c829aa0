import { cancelJob } from '../jobs/cancel-job';
import { pauseJob } from '../jobs/pause-job';
import { resumeJob } from '../jobs/resume-job';
import { getTeam } from '../teams/quotas';
import { team, World } from '../test/world';
import { type AttemptRef } from './attempt';
import { claimAttempt } from './claim-attempt';
import { type AttemptOutcome, endAttempt } from './end-attempt';
import { publishVersion } from './publish-version';
import { keptLogLines, reportLog } from './report-log';
import {
  reportCheckpoint,
  reportHeartbeat,
  reportMessage,
  reportMetrics,
  reportMirrored,
  reportPhase,
  reportPlan,
} from './report-progress';

const crashed: AttemptOutcome = { type: 'crashed', message: 'killed by SIGKILL.' };
const sha256 = 'c'.repeat(64);

let world: World;
let attempt: AttemptRef;
beforeEach(async () => {
  world = new World();
  attempt = await world.claimed();
});

const job = () => world.job(attempt.jobId);
const next = async () => {
  attempt = { jobId: attempt.jobId, epoch: attempt.epoch + 1 };
  expect(await claimAttempt(world, attempt, 'wrk_2')).not.toBeNull();
};

describe('claimAttempt', () => {
  it('hands over job, base model and dataset', async () => {
    const { id } = await world.submit();
    world.pass(5);
    expect(await claimAttempt(world, { jobId: id, epoch: 1 }, 'wrk_9')).toMatchObject({
      job: { id, state: 'preparing', workerId: 'wrk_9', heartbeatAt: world.clock.now() },
      baseModel: { name: 'tiny' },
      dataset: { filename: 'chats.jsonl' },
    });
    expect(world.job(id).startedAt).toBe(world.clock.now());
  });

  it('has one winner, and is deaf to stale and unknown wake-ups', async () => {
    expect(await claimAttempt(world, attempt, 'wrk_2')).toBeNull();
    await endAttempt(world, attempt, crashed);
    expect(await claimAttempt(world, attempt, 'wrk_2')).toBeNull();
    expect(await claimAttempt(world, { jobId: 'job_none', epoch: 1 }, 'wrk_2')).toBeNull();
    expect(job()).toMatchObject({ state: 'queued', epoch: 2, workerId: null });
  });

  it('is for the worker that was chosen, or for anybody when none was', async () => {
    const { id } = await world.submit();
    const claim = (workerId: string | null, by: string) =>
      claimAttempt(world, { jobId: id, epoch: 1, workerId }, by);
    // The choice was withdrawn, or fell on another worker.
    expect(await claim('wrk_1', 'wrk_1')).toBeNull();
    Object.assign(world.job(id), { assignedTo: 'wrk_2', assignedAt: world.clock.now() });
    expect(await claim('wrk_1', 'wrk_1')).toBeNull();
    expect(await claim(null, 'wrk_1')).toBeNull();
    world.addWorker({ id: 'wrk_2', hostname: 'mike', deviceClass: 'h100', drain: 'finish' });
    expect(await claim('wrk_2', 'wrk_2')).toBeNull();
    Object.assign(world.tables.workers[0] as object, { drain: null });
    expect(await claim('wrk_2', 'wrk_2')).toMatchObject({
      job: {
        assignedTo: null,
        assignedAt: null,
        host: 'mike',
        deviceClass: 'h100',
        attemptStartedAt: world.clock.now(),
      },
    });
  });

  it('fails a job whose dataset is gone', async () => {
    const { id } = await world.submit();
    world.tables.datasets.length = 0;
    expect(await claimAttempt(world, { jobId: id, epoch: 1 }, 'wrk_1')).toBeNull();
    expect(world.job(id)).toMatchObject({ state: 'failed', error: { code: 'not_found' } });
  });
});

describe('reports', () => {
  it('follow a run', async () => {
    await reportPhase(world, attempt, 'running');
    await reportPhase(world, attempt, 'running');
    await reportPlan(world, attempt, { totalSteps: 12, resumedFromStep: 0 });
    const metrics = [world.metric(0, 'eval'), world.metric(1), world.metric(2)];
    await reportMetrics(world, attempt, { metrics, trainedTokens: 600 });
    await reportCheckpoint(world, attempt, { step: 2, sha256 });
    await reportMirrored(world, attempt, { step: 2 });
    await reportMessage(world, attempt, { level: 'warn', message: 'slow disk' });
    expect(job()).toMatchObject({
      state: 'running',
      step: 2,
      totalSteps: 12,
      trainedTokens: 600,
      checkpointStep: 2,
      mirroredStep: 2,
      fruitlessAttempts: 0,
    });
    expect(world.history(attempt.jobId)).toEqual([
      'state queued 1',
      'state preparing 1',
      'state running 1',
      'attempt - 1',
      'checkpoint - 1',
      'message - 1',
    ]);
  });

  it('of a resumed attempt replace the steps beyond its checkpoint', async () => {
    await reportMetrics(world, attempt, {
      metrics: [1, 2, 3, 4].map((step) => world.metric(step)),
      trainedTokens: 800,
    });
    await endAttempt(world, attempt, crashed);
    await next();
    await reportPlan(world, attempt, { totalSteps: 12, resumedFromStep: 2 });
    expect(world.tables.metrics.map((metric) => metric.step)).toEqual([1, 2]);
    expect(job()).toMatchObject({ step: 2, totalSteps: 12 });
  });

  it('come with a checkpoint that the worker of the attempt before did not hear of', async () => {
    await reportMetrics(world, attempt, { metrics: [world.metric(1)], trainedTokens: 200 });
    await endAttempt(world, attempt, crashed);
    await next();
    const metrics = [1, 2, 3].map((step) => world.metric(step));
    await reportPlan(world, attempt, { totalSteps: 12, resumedFromStep: 3, metrics });
    expect(world.tables.metrics.map((metric) => metric.step)).toEqual([1, 2, 3]);
  });

  it('are each a sign of life', async () => {
    const reports = [
      () => reportHeartbeat(world, attempt),
      () => reportPhase(world, attempt, 'running'),
      () => reportPlan(world, attempt, { totalSteps: 3, resumedFromStep: 0 }),
      () => reportMetrics(world, attempt, { metrics: [], trainedTokens: 0 }),
      () => reportCheckpoint(world, attempt, { step: 1, sha256 }),
      () => reportMirrored(world, attempt, { step: 1 }),
      () => reportMessage(world, attempt, { level: 'info', message: 'here' }),
    ];
    for (const report of reports) {
      world.pass(1000);
      await report();
      expect(job().heartbeatAt).toBe(world.clock.now());
    }
  });

  it('of a fenced attempt write nothing at all', async () => {
    const old = attempt;
    await endAttempt(world, attempt, crashed);
    await next();
    const tables = structuredClone(world.tables);
    expect(await reportHeartbeat(world, old)).toBe('fenced');
    expect(await reportPhase(world, old, 'running')).toBe(false);
    expect(await reportPlan(world, old, { totalSteps: 3, resumedFromStep: 0 })).toBe('fenced');
    expect(await reportMetrics(world, old, { metrics: [world.metric(1)], trainedTokens: 9 })).toBe('fenced');
    expect(await reportCheckpoint(world, old, { step: 1, sha256 })).toBe(false);
    expect(await reportMirrored(world, old, { step: 5 })).toBe(false);
    expect(await reportMessage(world, old, { level: 'info', message: 'late' })).toBe(false);
    expect(await endAttempt(world, old, crashed)).toBeNull();
    expect(await publishVersion(world, old, world.manifest(old.jobId))).toBeNull();
    expect(world.tables).toEqual(tables);
  });
});

describe('reportLog', () => {
  const line = (message: string) => ({ at: world.clock.now(), level: 'info' as const, message });
  const messages = () => world.tables.log.map(({ message }) => message);

  it('keeps lines of the attempt that holds the job, also after its end, and of no older one', async () => {
    expect(await reportLog(world, attempt, [line('first')])).toBe(true);
    const old = attempt;
    await endAttempt(world, attempt, crashed);
    await next();
    expect(await reportLog(world, old, [line('late')])).toBe(false);
    await endAttempt(world, attempt, { type: 'failed', code: 'internal', message: '', retryable: false });
    expect(await reportLog(world, attempt, [line('last words')])).toBe(true);
    expect(world.tables.log.map(({ epoch, message }) => [epoch, message])).toEqual([
      [1, 'first'],
      [2, 'last words'],
    ]);
    expect(await reportLog(world, { jobId: 'job_none', epoch: 1 }, [line('x')])).toBe(false);
  });

  it('cuts long lines, and keeps the newest of many', async () => {
    await reportLog(world, attempt, [line('x'.repeat(1001)), line('y'.repeat(1000))]);
    expect(messages()).toEqual([`${'x'.repeat(999)}…`, 'y'.repeat(1000)]);
    await reportLog(
      world,
      attempt,
      Array.from({ length: keptLogLines + 1 }, (_, i) => line(String(i))),
    );
    expect([messages().length, messages()[0], messages().at(-1)]).toEqual([
      keptLogLines,
      '1',
      String(keptLogLines),
    ]);
  });
});

describe('publishVersion', () => {
  it('makes version and final state together', async () => {
    await reportPhase(world, attempt, 'publishing');
    const done = await publishVersion(world, attempt, world.manifest(attempt.jobId));
    expect(done).toMatchObject({ id: attempt.jobId, state: 'succeeded', version: 1 });
    expect(world.tables.versions).toMatchObject([{ adapter: 'captain', number: 1, bytes: 4096 }]);
    expect(job()).toMatchObject({
      state: 'succeeded',
      version: 1,
      step: 12,
      trainedTokens: 3400,
      workerId: null,
    });
    expect(await publishVersion(world, attempt, world.manifest(attempt.jobId))).toBeNull();
    expect(world.tables.versions).toHaveLength(1);
  });

  it("takes the manifest of an earlier attempt, which won the store's race", async () => {
    await reportPhase(world, attempt, 'publishing');
    await endAttempt(world, attempt, crashed);
    await next();
    await reportPhase(world, attempt, 'publishing');
    const done = await publishVersion(world, attempt, world.manifest(attempt.jobId, 1));
    expect(done).toMatchObject({ version: 1 });
  });

  it('publishes nothing when the state does not allow it', async () => {
    await expect(publishVersion(world, attempt, world.manifest(attempt.jobId))).rejects.toMatchObject({
      code: 'illegal_transition',
    });
    expect(world.tables.versions).toEqual([]);
    expect(world.tables.adapters).toMatchObject([{ latestVersion: null }]);
  });

  it("refuses another job's manifest", async () => {
    await reportPhase(world, attempt, 'publishing');
    const manifest = { ...world.manifest(attempt.jobId), adapter: 'other', epoch: 7 };
    await expect(publishVersion(world, attempt, manifest)).rejects.toThrow('its epoch, adapter differ');
  });
});

describe('endAttempt', () => {
  it('queues a crashed job again, three times in a row without progress at most', async () => {
    expect(await endAttempt(world, attempt, crashed)).toMatchObject({ state: 'queued', epoch: 2 });
    expect(world.tables.outbox.map((entry) => entry.wakeUp.epoch)).toEqual([1, 2]);
    await next();
    expect(await endAttempt(world, attempt, crashed)).toMatchObject({ state: 'queued', epoch: 3 });
    await next();
    expect(await endAttempt(world, attempt, crashed)).toMatchObject({
      state: 'failed',
      error: { code: 'trainer_crashed' },
      finishedAt: world.clock.now(),
    });
    // News of three free slots besides that of the submission.
    expect(world.tables.outbox.map((entry) => entry.wakeUp.epoch)).toEqual([1, 2, 3, 3]);
  });

  it('counts from anew after a checkpoint beyond all before', async () => {
    for (let step = 1; step <= 10; step++) {
      await reportCheckpoint(world, attempt, { step, sha256 });
      expect(await endAttempt(world, attempt, crashed)).toMatchObject({
        state: 'queued',
        fruitlessAttempts: 0,
      });
      await next();
    }
    for (const state of ['queued', 'queued', 'failed']) {
      await reportCheckpoint(world, attempt, { step: 10, sha256 });
      expect(await endAttempt(world, attempt, crashed)).toMatchObject({ state });
      if (state === 'queued') await next();
    }
  });

  it('does not charge a drained attempt', async () => {
    for (let i = 0; i < 5; i++) {
      expect(await endAttempt(world, attempt, { type: 'drained' })).toMatchObject({
        state: 'queued',
        fruitlessAttempts: 0,
        workerId: null,
      });
      await next();
    }
    expect(world.tables.outbox).toHaveLength(6);
  });

  it.each([
    [false, 'failed'],
    [true, 'queued'],
  ])('of a failure that is retryable (%s): %s', async (retryable, state) => {
    const outcome = { type: 'failed', code: 'internal', message: 'Odd.', retryable } as const;
    expect(await endAttempt(world, attempt, outcome)).toMatchObject({ state });
  });

  it('keeps the code of a failure that retrying did not help', async () => {
    const outcome = {
      type: 'failed',
      code: 'store_unavailable',
      message: 'S3 is down.',
      retryable: true,
    } as const;
    await endAttempt(world, attempt, outcome);
    await next();
    await endAttempt(world, attempt, outcome);
    await next();
    expect(await endAttempt(world, attempt, outcome)).toMatchObject({
      state: 'failed',
      error: { code: 'store_unavailable', message: expect.stringContaining('S3 is down.') },
    });
  });

  it('tries a job that ran out of memory twice with smaller micro-batches, and charges none of these attempts', async () => {
    const outcome = { type: 'failed', code: 'out_of_memory', message: 'No room', retryable: true } as const;
    await reportCheckpoint(world, attempt, { step: 5, sha256 });
    for (const memoryRetries of [1, 2]) {
      expect(await endAttempt(world, attempt, outcome)).toMatchObject({
        ...{ state: 'queued', memoryRetries, fruitlessAttempts: 0, checkpointStep: 0 },
      });
      await next();
    }
    expect(world.tables.events.at(-2)?.message).toMatch(/No room\. .* 4 micro-batches a step of 1 rows each/);
    expect(await endAttempt(world, attempt, outcome)).toMatchObject({
      ...{ state: 'failed', error: { code: 'out_of_memory' } },
    });
  });

  it('tries a job whose micro-batches cannot be smaller as often as any other', async () => {
    const outcome = { type: 'failed', code: 'out_of_memory', message: 'No room', retryable: true } as const;
    job().recipe.training.rows = 1;
    for (const state of ['queued', 'queued', 'failed']) {
      expect(await endAttempt(world, attempt, outcome)).toMatchObject({ state, memoryRetries: 0 });
      if (state === 'queued') await next();
    }
  });

  it.each<AttemptOutcome>([
    { type: 'cancelled' },
    { type: 'drained' },
    crashed,
    { type: 'failed', code: 'internal', message: 'odd', retryable: true },
  ])('cancels a job that was to be cancelled when its attempt is %j', async (outcome) => {
    await cancelJob(world, team, attempt.jobId);
    expect(await endAttempt(world, attempt, outcome)).toMatchObject({ state: 'cancelled', epoch: 1 });
  });

  it('pauses a job that was to be paused, however its attempt ended, and does not charge a drained one', async () => {
    await pauseJob(world, team, attempt.jobId);
    expect(await endAttempt(world, attempt, { type: 'drained' })).toMatchObject({
      ...{ state: 'paused', epoch: 1, workerId: null, pauseRequested: false, fruitlessAttempts: 0 },
    });
    await resumeJob(world, team, attempt.jobId);
    await next();
    await reportPhase(world, attempt, 'publishing');
    Object.assign(job(), { pauseRequested: true });
    expect(await endAttempt(world, attempt, crashed)).toMatchObject({
      state: 'paused',
      fruitlessAttempts: 1,
    });
  });

  it('fails a job that was stopped for its deadline', async () => {
    Object.assign(job(), { deadline: world.clock.now(), cancelRequested: true });
    expect(await endAttempt(world, attempt, { type: 'cancelled' })).toMatchObject({
      ...{ state: 'failed', error: { code: 'deadline_exceeded' } },
    });
  });

  it('charges the time that the slot was held to job and team, by the hour', async () => {
    world.pass(90 * 60_000);
    await endAttempt(world, attempt, { type: 'drained' });
    expect(job()).toMatchObject({ deviceSeconds: 5400, attemptStartedAt: null });
    expect(world.tables.usage).toEqual([
      { teamId: team, hour: '2026-01-01T00:00:00.000Z', seconds: 3600 },
      { teamId: team, hour: '2026-01-01T01:00:00.000Z', seconds: 1800 },
    ]);
    world.pass(1000);
    await next();
    world.pass(500);
    await reportPhase(world, attempt, 'publishing');
    await publishVersion(world, attempt, world.manifest(attempt.jobId, 2));
    expect(job().deviceSeconds).toBe(5400.5);
    expect((await getTeam(world, team)).deviceSecondsUsed).toBe(5400.5);
  });
});
