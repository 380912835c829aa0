import { type ApiKey } from '@lowrank/contracts';
import { makeApiKeySecret, type Repositories, type UnitOfWork } from '@lowrank/domain';
import { KeyCache } from './key-cache';

/** A database with one key that counts how often it is asked. */
function world() {
  const key = { id: 'key_a', revokedAt: null } as ApiKey;
  const state = { now: 0, asked: 0, key: key as ApiKey | null };
  const apiKeys = {
    findBySecret: async () => {
      state.asked++;
      return state.key;
    },
  } as unknown as Repositories['apiKeys'];
  const unitOfWork = { look: (work) => work({ apiKeys } as Repositories) } as UnitOfWork;
  return { state, key, cache: new KeyCache(unitOfWork, () => state.now) };
}

describe('KeyCache', () => {
  const secret = makeApiKeySecret();

  it('asks once in three seconds', async () => {
    const { state, key, cache } = world();
    expect(await cache.find(secret)).toBe(key);
    state.now = 2999;
    expect(await cache.find(secret)).toBe(key);
    expect(state.asked).toBe(1);
  });

  it('lets a revocation bite within five seconds', async () => {
    const { state, cache } = world();
    await cache.find(secret);
    state.key = null;
    state.now = 4999;
    expect(await cache.find(secret)).toBeNull();
  });

  it('does not remember what it did not find, nor asks for what has no checksum', async () => {
    const { state, key, cache } = world();
    state.key = null;
    expect(await cache.find(secret)).toBeNull();
    state.key = key;
    expect(await cache.find(secret)).toBe(key);
    expect(await cache.find('lrk_mistyped')).toBeNull();
    expect(state.asked).toBe(2);
  });
});
