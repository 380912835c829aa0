import { SharedLooks } from './shared-looks';

it('looks once for all who ask at the same time, for each team', async () => {
  let looks = 0;
  const shared = new SharedLooks(async (team) => `${team} ${++looks}`, 60_000);
  const told = await Promise.all(['a', 'a', 'b', 'a'].map((team) => shared.of(team)));
  expect(told).toEqual(['a 1', 'a 1', 'b 2', 'a 1']);
});

it('looks again when the while is over, and after a look that failed', async () => {
  let looks = 0;
  const look = async () => {
    if (++looks === 2) throw new Error('away');
    return looks;
  };
  const brief = new SharedLooks(look, 0);
  expect(await brief.of('a')).toBe(1);
  while (looks < 2) await brief.of('a').catch(() => undefined);
  looks = 1; // the next one fails
  const long = new SharedLooks(look, 60_000);
  await expect(long.of('a')).rejects.toThrow('away');
  expect([await long.of('a'), await long.of('a')]).toEqual([3, 3]);
});
