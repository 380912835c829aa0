import { overviewSchema, platformOverviewSchema } from '@lowrank/contracts';
import { endAttempt } from '../attempts/end-attempt';
import { type QueueInspector } from '../ports/job-queue';
import { freshTeam } from '../test/tables';
import { team, World } from '../test/world';
import { inspectQueue } from './inspect-queue';
import { platformOverview, teamOverview } from './team-overview';

const others = 'team_bbbbbbbbbbbbbbbbbbbbbbbb';
const failed = { type: 'failed', code: 'loss_not_finite', message: 'NaN', retryable: false } as const;
let world: World;
beforeEach(() => {
  world = new World();
  world.tables.teams.push({ ...freshTeam(others, 'others'), maxQueued: 3 });
});

/** A job that another team has waiting. */
const ofOthers = async () => {
  const { id } = await world.submit();
  return Object.assign(world.job(id), { teamId: others });
};

describe('teamOverview', () => {
  it('tells what runs with its last losses, what waits, what has failed, and what was used', async () => {
    const { jobId } = await world.claimed();
    Object.assign(world.job(jobId), { trainedTokens: 70 });
    await world.unitOfWork.run(({ jobs }) =>
      jobs.putMetrics(
        jobId,
        Array.from({ length: 70 }, (_, step) => ({ ...world.metric(step), loss: step })),
      ),
    );
    const lost = await world.claimed();
    await endAttempt(world, lost, failed);
    await world.submit();
    await world.submit({ placement: { deviceClasses: ['h100'] } });
    await ofOthers();
    await world.unitOfWork.run(({ teams }) =>
      teams.charge(team, [{ hour: '2026-01-01T00:00:00.000Z', seconds: 12 }]),
    );

    const seen = overviewSchema.parse(await teamOverview(world, team));
    expect(seen.jobs.filter(({ count }) => count > 0)).toEqual([
      { state: 'queued', count: 2 },
      { state: 'preparing', count: 1 },
      { state: 'failed', count: 1 },
    ]);
    expect(seen.queued).toEqual([
      { deviceClass: 'any', count: 1 },
      { deviceClass: 'h100', count: 1 },
    ]);
    expect(seen.running).toMatchObject([{ id: jobId, adapter: 'captain', state: 'preparing' }]);
    expect(seen.running[0]?.losses).toHaveLength(60);
    expect(seen.running[0]?.losses.at(-1)).toEqual({ step: 69, loss: 69 });
    expect(seen.failed).toMatchObject([{ id: lost.jobId, error: { code: 'loss_not_finite' } }]);
    expect(seen.use).toMatchObject({ team: { id: team }, trainedTokens: 70, running: 1, queued: 2 });
    expect(seen.use.deviceSeconds).toBeGreaterThanOrEqual(12);
  });

  it('forgets failures after a week, and those that were retried', async () => {
    const lost = await world.claimed();
    await endAttempt(world, lost, failed);
    world.pass(7 * 86_400_000 + 1);
    expect((await teamOverview(world, team)).failed).toEqual([]);
  });

  it('is empty where nothing is', async () => {
    const seen = overviewSchema.parse(await teamOverview(world, others));
    expect(seen).toMatchObject({ queued: [], running: [], failed: [], use: { maxQueued: 3, queued: 0 } });
  });
});

it('platformOverview tells what each team uses', async () => {
  await world.submit();
  await ofOthers();
  world.addWorker({ slots: 2 });
  const seen = platformOverviewSchema.parse(await platformOverview(world));
  expect(seen.teams.map(({ team: { name }, queued }) => [name, queued])).toEqual([
    ['crew', 1],
    ['others', 1],
  ]);
  expect(seen.workers).toEqual([{ deviceClass: 'cpu', workers: 1, slots: 2, busy: 0, failed: 0 }]);
});

describe('inspectQueue', () => {
  const inspector = (counts: QueueInspector['counts']): QueueInspector => ({
    ...{ type: 'postgres', address: 'the database' },
    probe: async () => null,
    counts,
    close: async () => {},
  });

  it('tells whose jobs wait and why, and what is on its way to each worker', async () => {
    const worker = world.addWorker({ hostname: 'alfa', drain: 'finish' });
    const idle = world.addWorker({ hostname: 'bravo' });
    const { id } = await world.submit();
    Object.assign(world.job(id), { waitingFor: 'no worker is there that takes jobs.' });
    world.pass(1000);
    const theirs = await ofOthers();
    const counts = new Map([[worker.id, { waiting: 2, active: 1 }]]);
    const asked: string[][] = [];
    const seen = await inspectQueue(
      world,
      inspector(async (ids) => {
        asked.push(ids);
        return counts;
      }),
      { limit: 1 },
    );
    expect(asked).toEqual([[worker.id, idle.id]]);
    expect(seen).toMatchObject({
      data: [{ id, team: { name: 'crew' }, waitingFor: 'no worker is there that takes jobs.' }],
      hasMore: true,
      outbox: { entries: 2 },
      wakeUps: [
        { workerId: worker.id, hostname: 'alfa', drain: 'finish', waiting: 2, active: 1 },
        { workerId: idle.id, hostname: 'bravo', waiting: 0, active: 0 },
      ],
    });
    const rest = await inspectQueue(
      world,
      inspector(async () => counts),
      { after: id, limit: 9 },
    );
    expect(rest).toMatchObject({ data: [{ id: theirs.id, team: { name: 'others' } }], hasMore: false });
  });

  it('tells what Postgres knows while the queue is away', async () => {
    await world.submit();
    const away = inspector(async () => Promise.reject(new Error('connection refused')));
    expect(await inspectQueue(world, away, { limit: 9 })).toMatchObject({ data: [{}], wakeUps: null });
  });
});
