import { codeOf } from '@lowrank/testing';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gate, SpecDatabase } from './test/database';
import { createUnitOfWork } from './unit-of-work';

const database = new SpecDatabase({ seed: false });

/** Holds the lock until `release`; resolves once it has it. */
async function hold(lock: string, unitOfWork = database.unitOfWork) {
  const released = gate();
  const taken = gate();
  let signal = new AbortController().signal;
  const done = unitOfWork.exclusively(lock, async (given) => {
    signal = given;
    taken.open();
    await released.passed;
    return 'held';
  });
  await taken.passed;
  return { signal, done, release: released.open };
}
const attempt = (lock: string) => database.unitOfWork.exclusively(lock, async () => 'mine');
const sessions = () =>
  database.sql<{ pid: number; application_name: string }>(
    `SELECT pid, application_name FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'lowrank lock%'`,
  );

it('has one holder among processes, who frees it when work ends', async () => {
  const other = createUnitOfWork(database.url);
  const { release, done, signal } = await hold('one', other);
  expect(await attempt('one')).toBeUndefined();
  expect(await attempt('two')).toBe('mine');
  expect(signal.aborted).toBe(false);
  release();
  expect(await done).toBe('held');
  expect(await attempt('one')).toBe('mine');
  await other.close();
});

it('has one winner of ten at once', async () => {
  const { passed, open } = gate();
  let answered = 0;
  const one = () =>
    database.unitOfWork
      .exclusively('race', async () => {
        await passed;
        return 'won';
      })
      .finally(() => ++answered);
  const all = Array.from({ length: 10 }, one);
  // The nine that lost do not wait for the winner.
  while (answered < 9)
    await Promise.race(all.map((promise) => promise.then(() => new Promise(setImmediate))));
  open();
  expect((await Promise.all(all)).filter((answer) => answer === 'won')).toHaveLength(1);
});

it('is free when work throws, and what it throws is passed on', async () => {
  // Looks like a connection error of the database's, but is the queue's.
  const error = new Error('connect ECONNREFUSED 127.0.0.1:6379');
  await expect(database.unitOfWork.exclusively('one', () => Promise.reject(error))).rejects.toBe(error);
  expect(await attempt('one')).toBe('mine');
});

it('aborts the signal when its session is ended, and somebody else may have it', async () => {
  const { signal, done, release } = await hold('one');
  const aborted = once(signal, 'abort');
  expect(await database.cutAll()).toBeGreaterThan(0);
  await aborted;
  expect(signal.reason.message).toContain('terminat');
  // The server says goodbye a moment before it lets go.
  let answer: string | undefined;
  for (const end = Date.now() + 5_000; answer === undefined && Date.now() < end; await sleep(10))
    answer = await attempt('one');
  expect(answer).toBe('mine');
  release();
  expect(await done).toBe('held');
});

it('leaves no session behind, with long and strange names', async () => {
  for (const name of ['', 'a'.repeat(500), "ß 🏴 '; DROP TABLE jobs", '\ud83d'])
    expect(await attempt(name)).toBe('mine');
  expect(await sessions()).toEqual([]);
});

it('takes no connection from the others', async () => {
  const narrow = createUnitOfWork(database.url, { max: 1 });
  const answer = narrow.exclusively('one', () =>
    narrow.run(({ jobs }) => narrow.exclusively('two', () => jobs.placed())),
  );
  expect(await answer).toEqual([]);
  await narrow.close();
});

it('says store_unavailable when there is no server', async () => {
  const gone = createUnitOfWork(database.url.replace(/:\d+\//, ':1/'));
  expect(await codeOf(gone.exclusively('one', async () => 'ran'))).toBe('store_unavailable');
});

it('is free when its holder is frozen, though its connection stays', async () => {
  const program = `
    const { withAdvisoryLock } = require(${JSON.stringify(join(__dirname, 'advisory-lock.ts'))});
    withAdvisoryLock(process.argv[1], 'frozen', () => {
      process.stdout.write('held');
      return new Promise(() => setInterval(() => undefined, 1000));
    });`;
  const holder = spawn(process.execPath, ['-e', program, database.url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(holder.stdout, 'data');
    expect(await attempt('frozen')).toBeUndefined();
    holder.kill('SIGSTOP');
    while ((await attempt('frozen')) === undefined) await sleep(200);
  } finally {
    holder.kill('SIGKILL');
    await once(holder, 'exit');
  }
});
