import { makeEvent, makeMetric, putInState } from '@lowrank/testing';
import { gate, SpecDatabase } from '../test/database';

const database = new SpecDatabase();
const run = database.run.bind(database);
let id: string;
beforeEach(async () => void ({ id } = await database.crew.addJob()));

/** A transaction that holds the job's lock until it is told to go on, and does `work` then. */
async function locker(work: Parameters<typeof run>[0] = async () => {}) {
  const locked = gate();
  const told = gate();
  const done = run(async (repositories) => {
    await repositories.jobs.lock(id);
    locked.open();
    await told.passed;
    await work(repositories);
  });
  await locked.passed;
  return () => {
    told.open();
    return done;
  };
}

it('that is locked makes the next one wait, who then sees what the first wrote', async () => {
  const goOn = await locker(({ jobs }) => putInState(jobs, id, 'running', { epoch: 2 }));
  const second = run(({ jobs }) => jobs.lock(id));
  await database.untilBlocked();
  await goOn();
  expect(await second).toMatchObject({ epoch: 2, state: 'running' });
});

it('takes nothing from an attempt that became stale while it waited', async () => {
  const goOn = await locker(({ jobs }) => jobs.update(id, 1, { epoch: 2 }));
  const late = run(({ jobs }) => jobs.update(id, 1, { step: 99, heartbeatAt: '2026-05-05T00:00:00.000Z' }));
  await database.untilBlocked();
  await goOn();
  expect(await late).toBe(false);
  expect(await run(({ jobs }) => jobs.lock(id))).toMatchObject({ epoch: 2, step: 0, heartbeatAt: null });
});

it('is read by others while it is locked', async () => {
  const goOn = await locker();
  expect(await database.crew.job(id)).toMatchObject({ id });
  expect(await run(({ jobs }) => jobs.waiting('2100-01-01T00:00:00.000Z', 5))).toHaveLength(1);
  await goOn();
});

it('numbers events of ten writers without gaps, in the order in which they commit', async () => {
  const ten = Array.from({ length: 10 }, (_, index) => String(index));
  await Promise.all(
    ten.map((message) =>
      run(async ({ jobs }) => {
        await jobs.appendEvent(id, makeEvent({ message }));
        if (message === '4') throw new Error('died');
      }).catch(() => undefined),
    ),
  );
  const events = await run(({ jobs }) => jobs.events(id, 0, 99));
  expect(events.map((event) => event.seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(events.map((event) => event.message).sort()).toEqual(ten.filter((message) => message !== '4'));
});

it('takes metrics of two writers at once, in whatever order they bring them', async () => {
  const steps = Array.from({ length: 500 }, (_, step) => step);
  let runs = 0;
  const put = (order: number[], loss: number) =>
    run(({ jobs }) => {
      runs += 1;
      return jobs.putMetrics(
        id,
        order.map((step) => makeMetric({ step, loss })),
      );
    });
  await Promise.all([put(steps, 1), put(steps.toReversed(), 2)]);
  const metrics = await run(({ jobs }) => jobs.metrics(id, { limit: 1000 }));
  expect(metrics.map((metric) => metric.step)).toEqual(steps);
  expect(new Set(metrics.map((metric) => metric.loss)).size).toBe(1);
  // No deadlock, after which one would have had to do it again.
  expect(runs).toBe(2);
});

it('goes with its events, metrics and wake-ups', async () => {
  await run(async ({ jobs, outbox }) => {
    await jobs.appendEvent(id, makeEvent());
    await jobs.putMetrics(id, [makeMetric()]);
    await outbox.add({ jobId: id, epoch: 1, workerId: null });
  });
  await database.sql('DELETE FROM jobs WHERE id = $1', [id]);
  for (const table of ['job_events', 'job_metrics', 'outbox'])
    expect(await database.sql(`SELECT * FROM ${table}`)).toEqual([]);
});

it.each([
  [`state = 'done'`, 'jobs'],
  ['epoch = -1', 'jobs'],
])('cannot have %s, whoever writes it', async (assignment) => {
  await expect(database.sql(`UPDATE jobs SET ${assignment}`)).rejects.toMatchObject({ code: '23514' });
});

it.each([
  [
    'jobs_waiting_idx',
    `SELECT first.id FROM teams CROSS JOIN LATERAL (
       SELECT id FROM jobs WHERE team_id = teams.id AND state = 'queued' AND assigned_to IS NULL
       ORDER BY rank_at, id LIMIT 5) first`,
  ],
  [
    'jobs_waiting_classes_idx',
    `SELECT id FROM jobs WHERE team_id = 'team_1' AND placement -> 'deviceClasses' = '["h100"]' AND state = 'queued'
       AND assigned_to IS NULL ORDER BY rank_at, id LIMIT 5`,
  ],
  ['jobs_assigned_idx', `SELECT id FROM jobs WHERE state = 'queued' AND assigned_to IS NOT NULL`],
  [
    'jobs_deadline_idx',
    `SELECT id FROM jobs WHERE deadline <= now() AND state NOT IN ('succeeded', 'cancelled', 'failed')
     ORDER BY deadline LIMIT 5`,
  ],
  [
    'jobs_held_idx',
    `SELECT id FROM jobs WHERE state IN ('preparing', 'running', 'publishing') AND heartbeat_at < now()
     ORDER BY heartbeat_at LIMIT 5`,
  ],
  [
    'jobs_unfinished_dataset_idx',
    `SELECT id FROM jobs WHERE dataset_id = 'data_1' AND state NOT IN ('succeeded', 'cancelled', 'failed')`,
  ],
])('has the index %s for what is asked often', async (index, query) => {
  await database.sql('SET enable_seqscan = off');
  const plan = await database.sql(`EXPLAIN ${query}`);
  await database.sql('RESET enable_seqscan');
  expect(JSON.stringify(plan)).toContain(index);
});
