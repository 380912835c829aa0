import { claimAttempt } from '../attempts/claim-attempt';
import { endAttempt } from '../attempts/end-attempt';
import { publishVersion } from '../attempts/publish-version';
import { reportPhase } from '../attempts/report-progress';
import { listWorkers } from '../dispatch/drain-worker';
import { scheduleJobs } from '../dispatch/schedule';
import { freshTeam } from '../test/tables';
import { team, World } from '../test/world';
import { smallBatchTokens } from './companions';

let world: World;
let workerId: string;
beforeEach(() => {
  world = new World();
  workerId = world.addWorker().id;
});

const small = { sequenceLength: 64, rows: 2 };
const submit = async (training: object = {}, overrides: Record<string, unknown> = {}) => {
  const { id } = await world.submit({ recipe: { training: { ...small, ...training } }, ...overrides });
  return id;
};
const schedule = () => scheduleJobs(world, { unseenAfterMs: 1e9, untakenAfterMs: 1e9 });
/** Gives the lead the slot and claims it as its worker does. Resolves to its companions' ids; null: it was not claimed. */
async function claim(jobId: string, jobs = 8): Promise<string[] | null> {
  const { epoch } = world.job(jobId);
  Object.assign(world.job(jobId), { assignedTo: workerId, assignedAt: world.clock.now() });
  const claimed = await claimAttempt(world, { jobId, epoch, workerId }, workerId, jobs);
  return claimed && claimed.companions.map(({ job }) => job.id);
}
const monthSeconds = async () =>
  (
    await world.unitOfWork.run(({ teams }) =>
      teams.shares({
        now: world.clock.now(),
        monthStart: '2026-01-01T00:00:00.000Z',
        decaySeconds: 1e9,
        id: team,
      }),
    )
  )[0]?.monthSeconds;

describe('companions', () => {
  it('are claimed with the lead and start as it does', async () => {
    const [lead, second, third] = [await submit(), await submit({ steps: 9 }), await submit()];
    expect(await claim(lead)).toEqual([second, third]);
    const [party] = world.tables.parties;
    for (const id of [lead, second, third])
      expect(world.job(id)).toMatchObject({
        state: 'preparing',
        workerId,
        party: party?.id,
        fruitlessAttempts: 1,
      });
    expect(
      world.tables.events.filter(({ message }) => /together with 2 other jobs/.test(message)),
    ).toHaveLength(3);
  });

  it('are as many as the worker trains together, in the order in which they wait', async () => {
    const [lead, second] = [await submit(), await submit(), await submit()];
    expect(await claim(lead, 2)).toEqual([second]);
  });

  it('are shared with others of them that are on their way to a slot', async () => {
    const [lead, bound, third, fourth, fifth] = [
      await submit(),
      await submit(),
      await submit(),
      await submit(),
      await submit(),
    ];
    Object.assign(world.job(bound), { assignedTo: 'wrk_other' });
    expect(await claim(lead)).toEqual([third, fourth]);
    expect(await claim(bound)).toEqual([fifth]);
  });

  it('are trials of the same sweep, whatever their micro-batches', async () => {
    const large = { rows: 64 };
    const [lead, second, third] = [await submit(large), await submit(large), await submit(large)];
    const [mine, other] = [world.ids.make('sweep'), world.ids.make('sweep')];
    for (const [id, sweep] of [
      [lead, mine],
      [second, other],
      [third, mine],
    ] as const)
      world.job(id).sweep = { id: sweep, trial: 1 };
    expect(await claim(lead)).toEqual([third]);
  });

  it('there are none for a worker that trains one job at a time', async () => {
    const [lead] = [await submit(), await submit()];
    expect(await claim(lead, 1)).toEqual([]);
    expect(world.job(lead).party).toBeNull();
    expect(world.tables.parties).toEqual([]);
  });

  it.each([
    ['keeps its base otherwise', { base: { quantization: 'int8' } }, {}],
    ['computes otherwise', { training: { compute: 'f32' } }, {}],
    ['keeps activations', { training: { checkpointActivations: false } }, {}],
    ['has large micro-batches', { training: { rows: smallBatchTokens / small.sequenceLength + 1 } }, {}],
    ['has another priority', {}, { priority: 1 }],
    ['asks for another device', {}, { placement: { deviceClasses: ['h100'] } }],
    ['may not start yet', {}, { notBefore: '2026-02-01T00:00:00.000Z' }],
  ])('are none that %s', async (_title, recipe: Record<string, object>, overrides) => {
    const lead = await submit();
    await world.submit({ recipe: { ...recipe, training: { ...small, ...recipe.training } }, ...overrides });
    expect(await claim(lead)).toEqual([]);
  });

  it('are none that has another kind of objective', async () => {
    const [lead, second] = [await submit(), await submit()];
    world.job(second).recipe.objective = { type: 'orpo', lambda: 0.1 };
    expect(await claim(lead)).toEqual([]);
  });

  it('train alone after an attempt that came to nothing', async () => {
    const [first, second] = [await submit(), await submit()];
    await claim(first);
    for (const jobId of [first, second])
      await endAttempt(world, { jobId, epoch: 1 }, { type: 'crashed', message: 'x' });
    expect(await claim(first)).toEqual([]);
    expect(await claim(second)).toEqual([]);
  });

  it('are as many as the memory of a slot has room for, what they share counted once', async () => {
    const lead = await submit();
    const others = [await submit(), await submit(), await submit()];
    Object.assign(world.tables.workers[0] as object, { slots: 2, memoryBytes: 200 });
    // 40 and 20 more of each are 80 of two and 100 of three, which is an even share of the worker.
    for (const id of [lead, ...others]) Object.assign(world.job(id), { estimatedBytes: 60, sharedBytes: 40 });
    expect(await claim(lead)).toEqual(others.slice(0, 2));
    expect(world.tables.parties).toMatchObject([{ members: 3, memoryBytes: 100 }]);
    expect(await schedule()).toMatchObject({ assigned: 1 });
  });

  it('stay behind when the other slots leave no room, or what they take is not known', async () => {
    const [big, lead, second] = [await submit(), await submit(), await submit()];
    const [unknown] = [await submit(), await submit()];
    Object.assign(world.tables.workers[0] as object, { slots: 2, memoryBytes: 200 });
    Object.assign(world.job(big), {
      assignedTo: workerId,
      placement: { deviceClasses: null, memoryBytes: 130 },
    });
    for (const id of [lead, second]) Object.assign(world.job(id), { estimatedBytes: 60, sharedBytes: 40 });
    expect(await claim(lead)).toEqual([]);
    Object.assign(world.tables.workers[0] as object, { memoryBytes: 1000 });
    for (const job of world.tables.jobs) job.estimatedBytes = null;
    expect(await claim(unknown)).toEqual([]);
    expect(world.job(unknown).state).toBe('preparing');
  });
});

describe('a party', () => {
  it('has one slot, until the last of its jobs has left it', async () => {
    const [lead, second] = [await submit(), await submit()];
    await claim(lead);
    const waiting = await submit();
    const busy = async () =>
      (await listWorkers(world, '2000-01-01T00:00:00.000Z')).map((worker) => worker.busy);
    expect(await busy()).toEqual([1]);
    await endAttempt(world, { jobId: lead, epoch: 1 }, { type: 'cancelled' });
    expect(await busy()).toEqual([1]);
    expect(await schedule()).toMatchObject({ assigned: 0 });
    await endAttempt(world, { jobId: second, epoch: 1 }, { type: 'cancelled' });
    expect(world.tables.parties).toEqual([]);
    expect(await busy()).toEqual([0]);
    expect(await schedule()).toMatchObject({ assigned: 1 });
    expect(world.job(waiting).assignedTo).toBe(workerId);
  });

  it('is charged for one slot, which its jobs share', async () => {
    const [lead, second, third] = [await submit(), await submit(), await submit()];
    await claim(lead);
    world.pass(30_000);
    await endAttempt(world, { jobId: second, epoch: 1 }, { type: 'cancelled' });
    world.pass(20_000);
    await endAttempt(world, { jobId: lead, epoch: 1 }, { type: 'drained' });
    world.pass(5000);
    await reportPhase(world, { jobId: third, epoch: 1 }, 'running');
    await reportPhase(world, { jobId: third, epoch: 1 }, 'publishing');
    await publishVersion(world, { jobId: third, epoch: 1 }, world.manifest(third));
    expect([lead, second, third].map((id) => world.job(id).deviceSeconds)).toEqual([20, 10, 25]);
    expect(await monthSeconds()).toBeCloseTo(55, 9);
    expect([lead, second, third].map((id) => world.job(id).party)).toEqual([null, null, null]);
  });

  it('counts as one slot of its team, as what it has used so far', async () => {
    world.tables.teams.push(freshTeam('team_b', 'other'));
    const [lead] = [await submit(), await submit(), await submit()];
    await claim(lead);
    world.pass(60_000);
    world.addWorker();
    Object.assign(world.tables.teams[0] as object, { maxRunning: 2, deviceSecondsPerMonth: 100 });
    await submit();
    // Three jobs for a minute: one slot of the two, and 60 of the 100 device seconds.
    expect(await schedule()).toMatchObject({ assigned: 1 });
  });

  it('gives its slot as a whole to a job of higher priority', async () => {
    const [lead, second] = [await submit(), await submit()];
    await claim(lead);
    for (const jobId of [lead, second]) await reportPhase(world, { jobId, epoch: 1 }, 'running');
    world.pass(120_000);
    const urgent = await submit({}, { priority: 50 });
    world.pass(60_000);
    expect(await schedule()).toMatchObject({ preempted: 1 });
    expect([lead, second].map((id) => world.job(id).preemptRequested)).toEqual([true, true]);
    expect(world.job(urgent).assignedTo).toBe(workerId);
    expect(await schedule()).toMatchObject({ preempted: 0 });
  });

  it('is not asked for its slot while one of its jobs publishes', async () => {
    const [lead, second] = [await submit(), await submit()];
    await claim(lead);
    for (const phase of ['running', 'publishing'] as const)
      await reportPhase(world, { jobId: second, epoch: 1 }, phase);
    world.pass(120_000);
    await submit({}, { priority: 50 });
    world.pass(60_000);
    expect(await schedule()).toMatchObject({ preempted: 0 });
  });
});
