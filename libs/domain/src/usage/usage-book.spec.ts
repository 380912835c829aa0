import { type Actor } from '@lowrank/contracts';
import { MemoryUnitOfWork } from '../test/memory';
import { UsageBook } from './usage-book';
import { reportUsage } from './usage-report';

const actor: Actor = { type: 'key', id: 'key_a', name: 'A' };
const tokens = { prompt: 5, cached: 1, completion: 7 };

function world() {
  const unitOfWork = new MemoryUnitOfWork();
  let now = '2026-11-26T23:00:00.000Z';
  const ports = { unitOfWork, clock: { now: () => now } };
  const book = new UsageBook(ports, 'writer');
  const add = () => book.add({ teamId: 'team', actor, model: 'captain@v1', tokens });
  const report = async () =>
    (await reportUsage(ports, 'team', { by: ['day'] })).data.map(({ day, requests }) => [day, requests]);
  return { unitOfWork, book, add, report, at: (time: string) => (now = time) };
}

it('writes down what has been counted, once, over the end of a day', async () => {
  const { book, add, report, at } = world();
  add();
  add();
  await book.write();
  await book.write();
  add();
  at('2026-11-27T00:00:01.000Z');
  add();
  await Promise.all([book.write(), book.write()]);
  add();
  await book.write();
  expect(await report()).toEqual([
    ['2026-11-26', 3],
    ['2026-11-27', 2],
  ]);
});

it('makes good what could not be written, or was without anybody knowing', async () => {
  const { unitOfWork, book, add, report } = world();
  const run = unitOfWork.acrossTeams.run.bind(unitOfWork.acrossTeams);
  add();
  const broken = jest.spyOn(unitOfWork, 'run').mockImplementationOnce(async (work) => {
    await run(work);
    throw new Error('the answer was lost');
  });
  await expect(book.write()).rejects.toThrow('lost');
  expect(book.unwritten('team')).toBe(12);
  expect(broken).toHaveBeenCalledTimes(1);
  add();
  await book.write();
  expect(await report()).toEqual([['2026-11-26', 2]]);
  expect(book.unwritten('team')).toBe(0);
});

it('reports this month up to today, unless it is asked for others', async () => {
  const { book, add, at, unitOfWork } = world();
  add();
  await book.write();
  at('2026-12-02T00:00:00.000Z');
  const ask = async (query: object) => {
    const { since, until, total } = await reportUsage(
      { unitOfWork, clock: { now: () => '2026-12-02T00:00:00.000Z' } },
      'team',
      { by: ['model'], ...query },
    );
    return [since, until, total.requests];
  };
  expect(await ask({})).toEqual(['2026-12-01', '2026-12-02', 0]);
  expect(await ask({ since: '2026-11-26' })).toEqual(['2026-11-26', '2026-12-02', 1]);
  expect(await ask({ until: '2026-11-26' })).toEqual(['2026-11-01', '2026-11-26', 1]);
});
