import { gate, SpecDatabase } from '../test/database';

const database = new SpecDatabase();
const run = database.run.bind(database);
let jobId: string;
beforeEach(async () => {
  jobId = (await database.crew.addJob()).id;
  await run(async ({ outbox }) => {
    for (const epoch of [1, 2, 3, 4]) await outbox.add({ jobId, epoch, workerId: null });
  });
});

// What a test leaves open would hold up the next one.
let open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(open.map((rollBack) => rollBack()));
  open = [];
});

/** Takes and removes in a transaction that stays open until it is told to commit or to roll back. */
async function taker(limit: number) {
  const taken = gate();
  const told = gate();
  let epochs: number[] = [];
  let failing = false;
  const done = run(async ({ outbox }) => {
    const entries = await outbox.take(limit);
    epochs = entries.map((entry) => entry.wakeUp.epoch);
    await outbox.remove(entries.map((entry) => entry.id));
    taken.open();
    await told.passed;
    if (failing) throw new Error('died');
  });
  await taken.passed;
  const end = (fail: boolean) => {
    failing = fail;
    told.open();
    return done.catch((error: Error) => error.message);
  };
  open.push(() => end(true));
  return { epochs, commit: () => end(false), rollBack: () => end(true) };
}

it('skips what another transaction has taken, without waiting', async () => {
  const first = await taker(2);
  const second = await taker(9);
  expect([first.epochs, second.epochs]).toEqual([
    [1, 2],
    [3, 4],
  ]);
  expect((await taker(9)).epochs).toEqual([]);
  await first.commit();
  await second.commit();
  expect((await taker(9)).epochs).toEqual([]);
});

it('loses nothing when the taker rolls back', async () => {
  const first = await taker(3);
  expect(await first.rollBack()).toBe('died');
  const again = await taker(9);
  expect(again.epochs).toEqual([1, 2, 3, 4]);
  await again.commit();
});

it('does not see what is not committed', async () => {
  const added = gate();
  const told = gate();
  const adding = run(async ({ outbox }) => {
    await outbox.add({ jobId, epoch: 5, workerId: null });
    added.open();
    await told.passed;
  });
  await added.passed;
  const meanwhile = await taker(9);
  expect(meanwhile.epochs).toEqual([1, 2, 3, 4]);
  await meanwhile.commit();
  told.open();
  await adding;
  expect((await taker(9)).epochs).toEqual([5]);
});

it('counts beyond what a JavaScript number holds', async () => {
  await database.sql(`DELETE FROM outbox; SELECT setval('outbox_id_seq', 9007199254740993)`);
  await run(({ outbox }) => outbox.add({ jobId, epoch: 7, workerId: null }));
  const [entry] = await run(({ outbox }) => outbox.take(1));
  expect(entry?.id).toBe('9007199254740994');
  await run(({ outbox }) => outbox.remove(['9007199254740994']));
  expect(await run(({ outbox }) => outbox.take(1))).toEqual([]);
});
