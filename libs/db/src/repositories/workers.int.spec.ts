import { makeWorker } from '@lowrank/testing';
import { SpecDatabase } from '../test/database';

const database = new SpecDatabase({ seed: false });
const run = database.run.bind(database);
const worker = (seenAt: string) => makeWorker({ id: 'wrk_1', hostname: 'häst-1', seenAt });

it('report for the first time twice at once, and are there once', async () => {
  const times = Array.from({ length: 10 }, (_, index) => `2026-01-01T00:00:00.00${index}Z`);
  await Promise.all(times.map((time) => run(({ workers }) => workers.upsert(worker(time)))));
  const seen = await run(({ workers }) => workers.seenSince('2026-01-01T00:00:00.000Z'));
  expect(seen).toEqual([{ ...worker(expect.any(String) as never), drain: null, failure: null }]);
  expect(times).toContain(seen[0]?.seenAt);
});

it('are seen to the millisecond', async () => {
  await run(({ workers }) => workers.upsert(worker('2026-01-01T00:00:00.500Z')));
  const since = (time: string) => run(({ workers }) => workers.seenSince(time));
  expect(await since('2026-01-01T00:00:00.500Z')).toHaveLength(1);
  expect(await since('2026-01-01T00:00:00.501Z')).toHaveLength(0);
});
