import { type Principal } from '@lowrank/contracts';
import { makeApiKeySecret, type Repositories, type UnitOfWork } from '@lowrank/domain';
import { KeyCache } from './key-cache';

const never = { expiresAt: null as string | null, revokedAt: null };
const found = { teamId: 'team_a', actor: { id: 'key_a' } } as Principal;

/** A database with one key that counts how often it is asked. */
function world() {
  const key = { id: 'key_a', teamId: 'team_a', name: 'a', role: 'member', scopes: null, ...never };
  const state = { now: 0, time: '2026-01-01T00:00:00.000Z', asked: 0, key: key as typeof key | null };
  const apiKeys = {
    findBySecret: async () => {
      state.asked++;
      return state.key && { key: state.key, operator: false };
    },
  } as unknown as Repositories['apiKeys'];
  const look: UnitOfWork['look'] = (work) => work({ apiKeys } as Repositories);
  const unitOfWork = { acrossTeams: { look } } as UnitOfWork;
  const cache = new KeyCache(
    unitOfWork,
    () => state.time,
    () => state.now,
  );
  return { state, key, cache };
}

describe('KeyCache', () => {
  const secret = makeApiKeySecret();

  it('asks once in three seconds', async () => {
    const { state, cache } = world();
    expect(await cache.find(secret)).toMatchObject(found);
    state.now = 2999;
    expect(await cache.find(secret)).toMatchObject(found);
    expect(state.asked).toBe(1);
  });

  it('lets a revocation bite within five seconds', async () => {
    const { state, cache } = world();
    await cache.find(secret);
    state.key = null;
    state.now = 4999;
    expect(await cache.find(secret)).toBeNull();
  });

  it('lets an expiry bite within five seconds', async () => {
    const { state, key, cache } = world();
    state.key = { ...key, expiresAt: '2026-01-01T00:00:01.000Z' };
    await cache.find(secret);
    Object.assign(state, { now: 4999, time: '2026-01-01T00:00:04.999Z' });
    await expect(cache.find(secret)).rejects.toMatchObject({ code: 'key_expired' });
  });

  it('does not remember what it did not find, nor asks for what has no checksum', async () => {
    const { state, key, cache } = world();
    state.key = null;
    expect(await cache.find(secret)).toBeNull();
    state.key = key;
    expect(await cache.find(secret)).toMatchObject(found);
    expect(await cache.find('lrk_mistyped')).toBeNull();
    expect(state.asked).toBe(2);
  });
});
