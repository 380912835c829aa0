import { cloneJobSchema, type JobState, jobStateSchema, type LowrankError } from '@lowrank/contracts';
import { claimAttempt } from '../attempts/claim-attempt';
import { endAttempt } from '../attempts/end-attempt';
import { reportCheckpoint, reportHeartbeat, reportPhase } from '../attempts/report-progress';
import { changeQuotas } from '../teams/quotas';
import { team, World } from '../test/world';
import { type JobAction, jobActions } from './actions';
import { cancelJob } from './cancel-job';
import { cloneJob } from './clone-job';
import { pauseJob } from './pause-job';
import { prioritizeJob } from './prioritize-job';
import { resumeJob } from './resume-job';
import { retryJob } from './retry-job';

let world: World;
beforeEach(() => (world = new World()));

const act: Record<JobAction, (id: string) => Promise<unknown>> = {
  cancel: (id) => cancelJob(world, team, id),
  pause: (id) => pauseJob(world, team, id),
  resume: (id) => resumeJob(world, team, id),
  retry: (id) => retryJob(world, team, id),
  prioritize: (id) => prioritizeJob(world, team, id, 5),
};
const actions = Object.keys(act) as JobAction[];

describe('every action in every state', () => {
  it.each(
    jobStateSchema.options.flatMap((state) =>
      actions.map((action): [JobState, JobAction] => [state, action]),
    ),
  )('of a job that is %s: %s', async (state, action) => {
    const { id } = await world.submit();
    Object.assign(world.job(id), { state });
    const before = structuredClone(world.tables);
    const answer = await act[action](id).catch((error: LowrankError) => error);
    if ((jobActions[action] as readonly JobState[]).includes(state)) {
      expect(answer).toMatchObject({ id });
      expect(world.tables.events.length).toBe(before.events.length + 1);
      return;
    }
    expect(answer).toMatchObject({ code: 'illegal_transition', status: 409 });
    const { message } = answer as LowrankError;
    expect(message).toContain(`is ${state}; '${action}'`);
    for (const other of actions)
      expect(message.split(';')[2]?.includes(other) ?? false).toBe(
        (jobActions[other] as readonly JobState[]).includes(state),
      );
    expect(world.tables).toEqual(before);
  });

  it.each(actions)('%s sees no job of another team', async (action) => {
    const { id } = await world.submit();
    world.job(id).teamId = 'team_b';
    await expect(act[action](id)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('pauseJob', () => {
  it('pauses a waiting job at once, which nobody can claim then', async () => {
    const { id } = await world.submit();
    Object.assign(world.job(id), { assignedTo: 'wrk_1', assignedAt: world.clock.now() });
    expect(await pauseJob(world, team, id)).toMatchObject({ state: 'paused' });
    expect(world.job(id)).toMatchObject({ assignedTo: null, assignedAt: null });
    expect(await claimAttempt(world, { jobId: id, epoch: 1, workerId: 'wrk_1' }, 'wrk_1')).toBeNull();
  });

  it('marks a held one, once, and its worker hears of it', async () => {
    const attempt = await world.claimed();
    expect(await pauseJob(world, team, attempt.jobId)).toMatchObject({
      state: 'preparing',
      pauseRequested: true,
    });
    await pauseJob(world, team, attempt.jobId);
    expect(world.history(attempt.jobId).filter((event) => event.startsWith('message'))).toHaveLength(1);
    expect(await reportHeartbeat(world, attempt)).toBe('yield');
    await cancelJob(world, team, attempt.jobId);
    expect(await reportHeartbeat(world, attempt)).toBe('cancel');
    await expect(pauseJob(world, team, attempt.jobId)).rejects.toThrow(
      /being cancelled.*possible now: cancel, clone/,
    );
  });
});

describe('resumeJob', () => {
  it('queues the next attempt at the end of the line, and fences what was on its way', async () => {
    const attempt = await world.claimed();
    await reportPhase(world, attempt, 'running');
    await reportCheckpoint(world, attempt, { step: 4, sha256: 'c'.repeat(64) });
    await pauseJob(world, team, attempt.jobId);
    await endAttempt(world, attempt, { type: 'drained' });
    world.pass(5000);
    expect(await resumeJob(world, team, attempt.jobId)).toMatchObject({
      state: 'queued',
      epoch: 2,
      pauseRequested: false,
    });
    expect(world.job(attempt.jobId)).toMatchObject({
      queuedAt: world.clock.now(),
      rankAt: world.clock.now(),
      checkpointStep: 4,
    });
    expect(world.tables.outbox.at(-1)?.wakeUp).toEqual({ jobId: attempt.jobId, epoch: 2, workerId: null });
    expect(await claimAttempt(world, attempt, 'wrk_1')).toBeNull();
    expect(world.history(attempt.jobId).filter((event) => event.startsWith('state'))).toEqual([
      'state queued 1',
      'state preparing 1',
      'state running 1',
      'state paused 1',
      'state queued 1',
    ]);
  });
});

describe('retryJob', () => {
  it.each(['failed', 'cancelled'] as const)('gives a %s job a clean slate', async (state) => {
    const attempt = await world.claimed();
    if (state === 'cancelled') await cancelJob(world, team, attempt.jobId);
    const failed = { type: 'failed', code: 'loss_not_finite', message: 'NaN', retryable: false } as const;
    await endAttempt(world, attempt, state === 'failed' ? failed : { type: 'cancelled' });
    expect(world.job(attempt.jobId).state).toBe(state);
    Object.assign(world.job(attempt.jobId), { mirroredStep: 4 });
    expect(await retryJob(world, team, attempt.jobId)).toMatchObject({
      state: 'queued',
      epoch: 2,
      error: null,
      finishedAt: null,
      cancelRequested: false,
    });
    // What was in the object store went when it ended, or is about to.
    expect(world.job(attempt.jobId)).toMatchObject({ fruitlessAttempts: 0, mirroredStep: 0 });
    expect(await claimAttempt(world, { jobId: attempt.jobId, epoch: 2 }, 'wrk_1')).not.toBeNull();
  });

  it('needs the dataset still', async () => {
    const { id } = await world.submit();
    await cancelJob(world, team, id);
    world.tables.datasets.length = 0;
    await expect(retryJob(world, team, id)).rejects.toMatchObject({ code: 'not_found' });
    expect(world.job(id).state).toBe('cancelled');
  });
});

describe('prioritizeJob', () => {
  it('moves a job forward by ten minutes a point, from when it began to wait', async () => {
    const { id, createdAt } = await world.submit({ priority: 1 });
    expect(world.job(id).rankAt).toBe(new Date(Date.parse(createdAt) - 600_000).toISOString());
    world.pass(10_000);
    expect(await prioritizeJob(world, team, id, 6)).toMatchObject({ priority: 6 });
    expect(world.job(id).rankAt).toBe(new Date(Date.parse(createdAt) - 3_600_000).toISOString());
    await prioritizeJob(world, team, id, 6);
    expect(world.history(id)).toEqual(['state queued 1', 'message - 1']);
  });
});

describe('cloneJob', () => {
  const clone = (id: string, changes: object = {}) =>
    cloneJob(world, team, id, cloneJobSchema.parse(changes));

  it('takes over everything but state and times', async () => {
    const recipe = { lora: { rank: 4, targets: ['q_proj'] }, training: { seed: 7 } };
    const placement = { deviceClasses: ['cpu'], memoryBytes: 1000 };
    const deadline = '2026-02-01T00:00:00.000Z';
    const job = await world.submit({ recipe, placement, priority: 3, deadline });
    await cancelJob(world, team, job.id);
    const copy = await clone(job.id);
    expect(copy).toEqual({
      ...job,
      id: copy.id,
      deadline: null,
      clonedFrom: job.id,
      state: 'queued',
      createdAt: world.clock.now(),
    });
  });

  it('changes the recipe field by field', async () => {
    const job = await world.submit({
      recipe: { lora: { rank: 4, targets: ['q_proj'] }, training: { seed: 7 } },
    });
    const changes = {
      adapter: 'mate',
      priority: -2,
      recipe: { lora: { targets: ['v_proj'] }, training: { seed: 8 }, optimizer: { learningRate: 0.5 } },
    };
    const copy = await clone(job.id, changes);
    expect(copy).toMatchObject({ adapter: 'mate', priority: -2, clonedFrom: job.id });
    expect(copy.recipe).toEqual({
      ...job.recipe,
      lora: { ...job.recipe.lora, targets: ['v_proj'] },
      training: { ...job.recipe.training, seed: 8 },
      optimizer: { ...job.recipe.optimizer, learningRate: 0.5 },
    });
  });

  it('replaces an objective of another type whole', async () => {
    Object.assign(world.tables.datasets[0] as object, { format: 'preference' });
    const job = await world.submit({ recipe: { objective: { type: 'orpo', lambda: 0.3 } } });
    expect((await clone(job.id, { recipe: { objective: { lambda: 0.2 } } })).recipe.objective).toEqual({
      type: 'orpo',
      lambda: 0.2,
    });
    const other = await clone(job.id, { recipe: { objective: { type: 'dpo' } } });
    expect(other.recipe.objective).toEqual({ type: 'dpo', beta: 0.1, labelSmoothing: 0 });
  });

  it.each([
    [{ recipe: { lora: { rank: 0 } } }, 'recipe_invalid', 'recipe.lora.rank'],
    [{ recipe: { lora: { ranks: 8 } } }, 'recipe_invalid', 'recipe.lora'],
    [{ recipe: { training: { sequenceLength: 4096 } } }, 'recipe_invalid', 'recipe.training.sequenceLength'],
    [{ dataset: `data_${'z'.repeat(24)}` }, 'not_found', 'dataset'],
  ])('refuses %j', async (changes, code, path) => {
    const { id } = await world.submit();
    await expect(clone(id, changes)).rejects.toMatchObject({ code, details: [{ path }] });
    expect(world.tables.jobs).toHaveLength(1);
  });

  it('of no job is none', async () => {
    await expect(clone(`job_${'z'.repeat(24)}`)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('times and quotas of a submission', () => {
  it('waits from the time on at which it may start', async () => {
    const job = await world.submit({ notBefore: '2026-01-01T05:00:00Z', deadline: '2026-01-01T06:00:00Z' });
    expect(job).toMatchObject({
      notBefore: '2026-01-01T05:00:00.000Z',
      deadline: '2026-01-01T06:00:00.000Z',
    });
    expect(world.job(job.id)).toMatchObject({ queuedAt: job.notBefore, rankAt: job.notBefore });
  });

  it.each([
    { deadline: '2026-01-01T00:00:00Z' },
    { deadline: '2026-01-01T05:00:00Z', notBefore: '2026-01-01T05:00:00Z' },
  ])('refuses %j', async (times) => {
    await expect(world.submit(times)).rejects.toMatchObject({
      code: 'deadline_exceeded',
      details: [{ path: 'deadline' }],
    });
  });

  it('refuses more waiting jobs than the quota, resumed ones too', async () => {
    await changeQuotas(world, team, { maxQueued: 2 });
    const { id } = await world.submit();
    await pauseJob(world, team, id);
    await world.submit();
    await world.submit();
    const refused = { code: 'quota_exceeded', status: 429 };
    await expect(world.submit()).rejects.toMatchObject(refused);
    await expect(resumeJob(world, team, id)).rejects.toMatchObject(refused);
    await changeQuotas(world, team, { maxQueued: null });
    await resumeJob(world, team, id);
  });

  it('refuses jobs of a team whose month is used up', async () => {
    await changeQuotas(world, team, { deviceSecondsPerMonth: 100 });
    const hour = '2025-12-31T23:00:00.000Z';
    world.tables.usage.push({ teamId: team, hour, seconds: 100 });
    await world.submit();
    world.tables.usage.push({ teamId: team, hour: world.clock.now(), seconds: 100 });
    await expect(world.submit()).rejects.toThrow('used 100 of its 100 device seconds');
  });
});
