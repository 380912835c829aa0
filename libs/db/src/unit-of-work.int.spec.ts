import { codeOf, makeDataset, makeEvent, makeMetric } from '@lowrank/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { gate, SpecDatabase } from './test/database';
import { createUnitOfWork } from './unit-of-work';

const database = new SpecDatabase();
const run = database.run.bind(database);

describe('run', () => {
  it('does work again that lost a race, until both increments are there', async () => {
    const name = new URL(database.url).pathname.slice(1);
    await database.sql(`ALTER DATABASE "${name}" SET default_transaction_isolation TO 'repeatable read'`);
    const unitOfWork = createUnitOfWork(database.url);
    try {
      const { id } = await database.crew.addJob();
      const bothRead = gate();
      let reads = 0;
      const increment = () =>
        unitOfWork.run(async ({ jobs }) => {
          const job = await jobs.find(database.crew.id, id);
          if (++reads === 2) bothRead.open();
          await bothRead.passed;
          await jobs.update(id, 1, { step: (job?.step ?? 0) + 1 });
        });
      await Promise.all([increment(), increment()]);
      expect(reads).toBeGreaterThan(2);
      expect(await database.crew.job(id)).toMatchObject({ step: 2 });
    } finally {
      await unitOfWork.close();
      await database.sql(`ALTER DATABASE "${name}" RESET default_transaction_isolation`);
    }
  });

  it('does work again that Postgres chose to end a deadlock', async () => {
    const [a, b] = [await database.crew.addJob(), await database.crew.addJob()];
    const bothHold = gate();
    let holding = 0;
    const lockBoth = (first: string, second: string) =>
      run(async ({ jobs }) => {
        await jobs.lock(first);
        if (++holding === 2) bothHold.open();
        await bothHold.passed;
        const job = await jobs.lock(second);
        await jobs.update(second, 1, { step: (job?.step ?? 0) + 1 });
      });
    await Promise.all([lockBoth(a.id, b.id), lockBoth(b.id, a.id)]);
    expect(holding).toBe(3);
    expect([await database.crew.job(a.id), await database.crew.job(b.id)]).toMatchObject([
      { step: 1 },
      { step: 1 },
    ]);
  });

  it('gives up after five losses in a row, having written nothing', async () => {
    let runs = 0;
    const losing = run(async ({ datasets }) => {
      runs += 1;
      await datasets.insert(database.crew.id, makeDataset());
      throw Object.assign(new Error('could not serialize access'), { code: '40001' });
    });
    expect(await codeOf(losing)).toBe('conflict');
    expect(runs).toBe(5);
    expect(await database.sql('SELECT id FROM datasets')).toHaveLength(1);
  });

  it('takes as many connections as it may, and ends all of them', async () => {
    const unitOfWork = createUnitOfWork(database.url, { max: 2 });
    const connections = async () =>
      (
        await database.sql(
          `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'lowrank'`,
        )
      ).length;
    const before = await connections();
    const opened = gate();
    let running = 0;
    const all = Array.from({ length: 6 }, () =>
      unitOfWork.run(async ({ jobs }) => {
        await jobs.placed();
        running += 1;
        await opened.passed;
      }),
    );
    while (running < 2) await sleep(10);
    await sleep(100);
    expect(running).toBe(2);
    expect(await connections()).toBe(before + 2);
    opened.open();
    await Promise.all(all);
    await unitOfWork.close();
    for (const end = Date.now() + 5_000; (await connections()) > before && Date.now() < end; await sleep(10));
    expect(await connections()).toBe(before);
  });
});

describe('a cut connection', () => {
  it('is replaced: at most the next call of each fails', async () => {
    await Promise.all(Array.from({ length: 3 }, () => database.unitOfWork.ping()));
    expect(await database.cutAll()).toBeGreaterThan(0);
    // The client learns of it only when the server's last words have arrived.
    await sleep(100);
    await database.unitOfWork.ping();
    expect(await run(({ jobs }) => jobs.placed())).toEqual([]);
  });

  it('that is cut in a transaction undoes it and says store_unavailable', async () => {
    let runs = 0;
    const work = run(async ({ datasets }) => {
      runs += 1;
      await datasets.insert(database.crew.id, makeDataset());
      await database.cutAll();
      await sleep(100);
      await datasets.insert(database.crew.id, makeDataset());
    });
    expect(await codeOf(work)).toBe('store_unavailable');
    expect(runs).toBe(1);
    expect(await run(({ datasets }) => datasets.list(database.crew.id, { limit: 9 }))).toMatchObject({
      data: [{ id: database.crew.dataset.id }],
    });
  });

  it('that is cut before its commit undoes it too', async () => {
    const work = run(async ({ datasets }) => {
      await datasets.insert(database.crew.id, makeDataset());
      await database.cutAll();
      await sleep(100);
    });
    expect(await codeOf(work)).toBe('store_unavailable');
    expect(await database.sql('SELECT id FROM datasets')).toHaveLength(1);
  });
});

it.each([
  ['a port where nobody listens', (url: URL) => (url.port = '1')],
  ['a wrong password', (url: URL) => (url.password = 'wrong')],
  ['a database that is not there', (url: URL) => (url.pathname = '/nowhere')],
])('says store_unavailable at once for %s', async (_title, spoil) => {
  const url = new URL(database.url);
  spoil(url);
  const unitOfWork = createUnitOfWork(url.href);
  let ran = false;
  const work = async () => void (ran = true);
  const started = Date.now();
  expect(await codeOf(unitOfWork.ping())).toBe('store_unavailable');
  expect(await codeOf(unitOfWork.run(work))).toBe('store_unavailable');
  expect(await codeOf(unitOfWork.exclusively('a', work))).toBe('store_unavailable');
  expect(ran).toBe(false);
  expect(Date.now() - started).toBeLessThan(8_000);
  await unitOfWork.close();
});

it('writes and reads the same instants on a server of another time zone', async () => {
  const name = new URL(database.url).pathname.slice(1);
  await database.sql(`ALTER DATABASE "${name}" SET timezone TO 'Asia/Kathmandu'`);
  const unitOfWork = createUnitOfWork(database.url);
  try {
    const at = '2026-03-29T01:30:00.123Z';
    const { id } = await database.crew.addJob();
    const metric = makeMetric({ at });
    const [event, metrics] = await unitOfWork.run(async ({ jobs }) => {
      await jobs.putMetrics(id, [metric]);
      await jobs.update(id, 1, { heartbeatAt: at });
      return [await jobs.appendEvent(id, makeEvent({ at })), await jobs.metrics(id, { limit: 1 })] as const;
    });
    expect(event.at).toBe(at);
    expect(metrics).toEqual([metric]);
    expect(
      await database.sql(`SELECT e.at AS event, m.at AS metric, j.heartbeat_at AS beat
        FROM jobs j JOIN job_events e ON e.job_id = j.id JOIN job_metrics m ON m.job_id = j.id`),
    ).toEqual([{ event: new Date(at), metric: new Date(at), beat: new Date(at) }]);
  } finally {
    await unitOfWork.close();
    await database.sql(`ALTER DATABASE "${name}" RESET timezone`);
  }
});
