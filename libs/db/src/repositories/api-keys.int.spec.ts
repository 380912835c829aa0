import { codeOf } from '@lowrank/testing';
import { SpecDatabase } from '../test/database';

const database = new SpecDatabase();
const run = database.run.bind(database);
const key = (secretSha256: string) => ({
  id: `key_${secretSha256.slice(0, 4)}`,
  teamId: database.crew.id,
  name: 'ключ 🔑',
  role: 'admin' as const,
  scopes: null,
  memberId: null,
  hint: 'lrk_abcd',
  createdAt: '2026-01-01T00:00:00.000Z',
  expiresAt: null,
  revokedAt: null,
  secretSha256,
});

it('make a team once for ten that start at once', async () => {
  const ids = await Promise.all(
    Array.from({ length: 10 }, () => run(({ apiKeys }) => apiKeys.ensureTeam('default'))),
  );
  expect(new Set(ids).size).toBe(1);
  expect(await database.sql(`SELECT id FROM teams WHERE name = 'default'`)).toEqual([{ id: ids[0] }]);
});

it('keep the first of two revocations at once', async () => {
  const { id } = key('a'.repeat(64));
  await run(({ apiKeys }) => apiKeys.insert(key('a'.repeat(64))));
  const times = ['2026-02-01T00:00:00.000Z', '2026-03-01T00:00:00.000Z'];
  const revoke = (at: string) => run(({ apiKeys }) => apiKeys.revoke(database.crew.id, id, at));
  expect(await Promise.all(times.map(revoke))).toEqual([true, true]);
  const [first] = await run(({ apiKeys }) => apiKeys.list(database.crew.id));
  expect(times).toContain(first?.revokedAt);
  await revoke('2026-04-01T00:00:00.000Z');
  expect(await run(({ apiKeys }) => apiKeys.list(database.crew.id))).toEqual([first]);
});

it.each([
  ['a secret itself', 'lrk_not-a-hash'],
  ['half a hash', 'a'.repeat(32)],
])('are not stored with %s for a hash', async (_title, secretSha256) => {
  await expect(run(({ apiKeys }) => apiKeys.insert(key(secretSha256)))).rejects.toThrow('check');
});

it('need their team', async () => {
  const stray = { ...key('b'.repeat(64)), teamId: 'team_none' };
  expect(await codeOf(run(({ apiKeys }) => apiKeys.insert(stray)))).toBe('conflict');
});
