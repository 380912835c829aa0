import { defaultPolicy, planDispatch } from './plan';
import { priorityHeadStartMs } from './rank';
import { type PlacedJob, type PlanTeam, type PlanWorker, type WaitingJob } from './state';

const now = 1_000_000_000;
const team = (id: string, overrides: Partial<PlanTeam> = {}): PlanTeam => ({
  id,
  weight: 1,
  maxRunning: null,
  usage: 0,
  exhausted: false,
  ...overrides,
});
const worker = (id: string, overrides: Partial<PlanWorker> = {}): PlanWorker => ({
  id,
  hostname: id,
  slots: 1,
  deviceClass: 'cpu',
  memoryBytes: 0,
  ...overrides,
});
const waiting = (id: string, overrides: Partial<WaitingJob> = {}): WaitingJob => ({
  id,
  teamId: 'a',
  priority: 0,
  rank: now,
  waitingSince: now,
  deviceClasses: null,
  memoryBytes: null,
  host: null,
  ...overrides,
});
const placed = (id: string, overrides: Partial<PlacedJob> = {}): PlacedJob => ({
  id,
  teamId: 'a',
  workerId: 'w',
  priority: 0,
  rank: 0,
  since: 0,
  leaving: false,
  movable: true,
  deviceClasses: null,
  memoryBytes: null,
  ...overrides,
});

const plan = (state: {
  teams?: PlanTeam[];
  workers?: PlanWorker[];
  placed?: PlacedJob[];
  waiting?: WaitingJob[];
}) =>
  planDispatch({
    now,
    teams: [team('a'), team('b')],
    workers: [worker('w')],
    placed: [],
    waiting: [],
    ...state,
  });
const given = (state: Parameters<typeof plan>[0]) =>
  plan(state).assignments.map(({ jobId, workerId }) => `${jobId} ${workerId}`);
const several = (count: number, teamId: string) =>
  Array.from({ length: count }, (_, index) => waiting(`${teamId}${index}`, { teamId, rank: now + index }));

describe('between teams', () => {
  const teamsOf = (state: Parameters<typeof plan>[0]) =>
    plan(state).assignments.map(({ jobId }) => jobId.slice(0, 1));

  it('slots go in turn, however many jobs one has', () => {
    const jobs = [...several(100, 'a'), ...several(3, 'b')];
    expect(teamsOf({ workers: [worker('w', { slots: 6 })], waiting: jobs })).toEqual([...'ababab']);
  });

  it('slots go by weight', () => {
    const teams = [team('a', { weight: 3 }), team('b')];
    const jobs = [...several(20, 'a'), ...several(20, 'b')];
    const order = teamsOf({ teams, workers: [worker('w', { slots: 12 })], waiting: jobs });
    expect(order.filter((id) => id === 'a')).toHaveLength(9);
  });

  it('the one that has had less goes first, until both are level', () => {
    const teams = [team('a', { usage: 2 * defaultPolicy.slotSeconds }), team('b')];
    const jobs = [...several(9, 'a'), ...several(9, 'b')];
    expect(teamsOf({ teams, workers: [worker('w', { slots: 4 })], waiting: jobs })).toEqual([...'bbab']);
  });

  it('what runs counts', () => {
    const workers = [worker('w', { slots: 4 })];
    const running = [placed('x'), placed('y')];
    const jobs = [...several(5, 'a'), ...several(5, 'b')];
    expect(teamsOf({ workers, placed: running, waiting: jobs })).toEqual([...'bb']);
  });

  it('quotas hold', () => {
    const workers = [worker('w', { slots: 9 })];
    const jobs = [...several(9, 'a'), ...several(9, 'b')];
    const teams = [team('a', { maxRunning: 2 }), team('b', { exhausted: true })];
    expect(teamsOf({ teams, workers, waiting: jobs })).toEqual([...'aa']);
    expect(teamsOf({ teams, workers, waiting: jobs, placed: [placed('x')] })).toEqual(['a']);
  });
});

describe('within a team', () => {
  it('the smaller rank goes first, whatever the order they come in', () => {
    const jobs = [
      waiting('late', { rank: 3 }),
      waiting('early', { rank: 1 }),
      waiting('middle', { rank: 2 }),
    ];
    expect(given({ workers: [worker('w', { slots: 2 })], waiting: jobs })).toEqual(['early w', 'middle w']);
  });

  it('a job that fits nowhere does not hold up the next', () => {
    const jobs = [waiting('gpu', { rank: 1, deviceClasses: ['h100'] }), waiting('any', { rank: 2 })];
    expect(given({ waiting: jobs })).toEqual(['any w']);
  });
});

describe('a worker', () => {
  it('is of the class that the job names', () => {
    const workers = [worker('c'), worker('h', { deviceClass: 'h100' }), worker('g', { deviceClass: 'a100' })];
    const jobs = [waiting('x', { deviceClasses: ['a100', 'l4'] }), waiting('y', { deviceClasses: ['h100'] })];
    expect(given({ workers, waiting: jobs })).toEqual(['x g', 'y h']);
  });

  it('has room for it beside what it runs', () => {
    const workers = [worker('w', { slots: 4, memoryBytes: 100 })];
    const running = [placed('x', { memoryBytes: 50 }), placed('y')];
    const tried = (memoryBytes: number | null) =>
      given({ workers, placed: running, waiting: [waiting('z', { memoryBytes })] });
    expect(tried(26)).toEqual([]);
    expect(tried(25)).toEqual(['z w']);
    expect(tried(null)).toEqual(['z w']);
  });

  it('with the checkpoints is preferred, then the emptiest', () => {
    const workers = [worker('u', { slots: 2 }), worker('v', { slots: 3 }), worker('w')];
    expect(given({ workers, waiting: [waiting('x', { host: 'w' })] })).toEqual(['x w']);
    expect(given({ workers, waiting: [waiting('x', { host: 'elsewhere' })] })).toEqual(['x v']);
  });

  it('is kept for a job that only fits it emptier and has waited long, one job a team', () => {
    const workers = [worker('w', { slots: 4, memoryBytes: 100 })];
    const running = [placed('x', { memoryBytes: 25 })];
    const big = (ms: number) => waiting('big', { teamId: 'b', memoryBytes: 90, waitingSince: now - ms });
    expect(given({ workers, placed: running, waiting: [big(0), waiting('small')] })).toEqual(['small w']);
    const late = big(defaultPolicy.holdAfterMs);
    expect(given({ workers, placed: running, waiting: [late, waiting('small')] })).toEqual([]);
    expect(given({ workers, waiting: [late, waiting('small')] })).toEqual(['big w']);
    const hopeless = { ...late, memoryBytes: 101 };
    expect(given({ workers, placed: running, waiting: [hopeless, waiting('small')] })).toEqual(['small w']);
  });
});

describe('preemption', () => {
  const long = now - defaultPolicy.preemptAfterMs;
  const urgent = (overrides: Partial<WaitingJob> = {}) =>
    waiting('urgent', {
      priority: 5,
      waitingSince: long,
      rank: long - 5 * priorityHeadStartMs,
      ...overrides,
    });
  const taken = (state: Parameters<typeof plan>[0]) =>
    plan(state).preemptions.map(({ victimId, jobId, workerId }) => `${victimId} for ${jobId} on ${workerId}`);

  it('takes the slot of the lowest priority, of those the last that began', () => {
    const workers = [worker('w', { slots: 4 })];
    const running = [
      placed('p4', { priority: 4 }),
      placed('old', { priority: 1, since: 1 }),
      placed('new', { priority: 1, since: 2 }),
      placed('p2', { priority: 2, since: 3 }),
    ];
    expect(taken({ workers, placed: running, waiting: [urgent()] })).toEqual(['new for urgent on w']);
    const two = [urgent(), urgent({ id: 'too', rank: long })];
    expect(taken({ workers, placed: running, waiting: two })).toEqual([
      'new for urgent on w',
      'old for too on w',
    ]);
  });

  it.each<[string, Partial<PlacedJob>, Partial<WaitingJob>]>([
    ['of the same priority', { priority: 5 }, {}],
    ['that is leaving already', { leaving: true }, {}],
    ['that publishes', { movable: false }, {}],
    ['that has just begun', { since: now - defaultPolicy.undisturbedMs + 1 }, {}],
    [
      'that had waited as long for its slot',
      { rank: -5 * priorityHeadStartMs - defaultPolicy.preemptAfterMs },
      {},
    ],
    ['that is still on its way', { since: null }, {}],
    ['for one that has not waited', {}, { waitingSince: long + 1 }],
    ['on a worker of another class', {}, { deviceClasses: ['h100'] }],
  ])('spares a job %s', (_title, victim, job) => {
    expect(taken({ placed: [placed('v', victim)], waiting: [urgent(job)] })).toEqual([]);
  });

  it('takes from another team that has had more', () => {
    const teams = [team('a'), team('b', { usage: defaultPolicy.slotSeconds })];
    const running = [placed('v', { teamId: 'b' })];
    const had = [team('a', { usage: 1 }), team('b', { usage: defaultPolicy.slotSeconds })];
    expect(taken({ teams: had, placed: running, waiting: [urgent()] })).toEqual([]);
    expect(taken({ teams, placed: running, waiting: [urgent()] })).toEqual(['v for urgent on w']);
    expect(
      taken({
        teams: [team('a', { maxRunning: 0 }), team('b', { usage: defaultPolicy.slotSeconds })],
        placed: running,
        waiting: [urgent()],
      }),
    ).toEqual([]);
  });

  it('makes enough room, and not more than once for the same slot', () => {
    const workers = [worker('w', { slots: 2, memoryBytes: 100 })];
    const running = [placed('big', { memoryBytes: 60, priority: 2 }), placed('small', { memoryBytes: 40 })];
    expect(taken({ workers, placed: running, waiting: [urgent({ memoryBytes: 50 })] })).toEqual([
      'big for urgent on w',
    ]);
    const leaving = [placed('big', { leaving: true, memoryBytes: 60 }), placed('small', { memoryBytes: 40 })];
    const two = [urgent({ memoryBytes: 40 }), urgent({ id: 'too', rank: long, memoryBytes: 40 })];
    expect(taken({ workers, placed: leaving, waiting: two })).toEqual(['small for too on w']);
    const bound = [...leaving, placed('next', { since: null, priority: 9, memoryBytes: 30 })];
    expect(taken({ workers, placed: bound, waiting: [urgent({ memoryBytes: 10 })] })).toEqual([
      'small for urgent on w',
    ]);
  });

  it('of a slot needs no free one to be left', () => {
    expect(
      taken({ workers: [worker('w', { slots: 2 })], placed: [placed('v')], waiting: [urgent()] }),
    ).toEqual([]);
  });
});
