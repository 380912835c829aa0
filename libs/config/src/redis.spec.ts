import { type LowrankError } from '@lowrank/contracts';
import { describeConfig, loadConfig, secretsOf } from './config';

const redisOf = (env: Record<string, string>) => loadConfig(env).redis;
const sentinel = { REDIS_SENTINELS: 's1:26379, [::1]:26380', REDIS_SENTINEL_NAME: 'lowrank' };

describe('where Redis is', () => {
  it('is one server by its URL', () =>
    expect(redisOf({ REDIS_URL: 'rediss://u:p@cache:6380/2' })).toEqual({
      type: 'single',
      url: 'rediss://u:p@cache:6380/2',
    }));

  it('is for Sentinels to say', () => {
    const sentinels = [
      { host: 's1', port: 26_379 },
      { host: '::1', port: 26_380 },
    ];
    const open = { username: null, password: null, tls: false, sentinelPassword: null };
    expect(redisOf(sentinel)).toEqual({ type: 'sentinel', sentinels, name: 'lowrank', ...open });
    expect(
      redisOf({ ...sentinel, REDIS_PASSWORD: 'x', REDIS_SENTINEL_PASSWORD: 'y', REDIS_TLS: 'true' }),
    ).toMatchObject({ password: 'x', sentinelPassword: 'y', tls: true });
  });

  it('is a cluster', () =>
    expect(
      redisOf({ REDIS_CLUSTER_NODES: 'a:7000,b:7001', REDIS_USERNAME: 'u', REDIS_PASSWORD: 'p' }),
    ).toEqual({
      type: 'cluster',
      nodes: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 7001 },
      ],
      ...{ username: 'u', password: 'p', tls: false },
    }));

  it.each([
    [{ REDIS_URL: 'redis://a', REDIS_CLUSTER_NODES: 'a:1' }, 'REDIS_CLUSTER_NODES', 'beside REDIS_URL'],
    [{ ...sentinel, REDIS_CLUSTER_NODES: 'a:1' }, 'REDIS_CLUSTER_NODES', 'beside REDIS_SENTINELS'],
    [{ REDIS_SENTINELS: 's1:26379' }, 'REDIS_SENTINEL_NAME', 'must be set'],
    [{ REDIS_SENTINEL_NAME: 'lowrank' }, 'REDIS_SENTINEL_NAME', 'without REDIS_SENTINELS'],
    [{ REDIS_URL: 'redis://a', REDIS_PASSWORD: 'x' }, 'REDIS_PASSWORD', 'rediss://user:password@'],
    [{ REDIS_TLS: 'true' }, 'REDIS_TLS', 'REDIS_CLUSTER_NODES'],
    [{ REDIS_CLUSTER_NODES: 'a' }, 'REDIS_CLUSTER_NODES', 'host:6379'],
    [{ REDIS_CLUSTER_NODES: 'a:70000' }, 'REDIS_CLUSTER_NODES', 'host:6379'],
    [{ REDIS_CLUSTER_NODES: 'redis://a:7000' }, 'REDIS_CLUSTER_NODES', 'host:6379'],
    [{ REDIS_CLUSTER_NODES: 'a:7000,' }, 'REDIS_CLUSTER_NODES', 'host:6379'],
  ])('refuses %j', (env, path, message) => {
    let error: LowrankError | undefined;
    try {
      loadConfig(env as Record<string, string>);
    } catch (thrown) {
      error = thrown as LowrankError;
    }
    expect(error?.code).toBe('validation_failed');
    expect(error?.details).toEqual([{ path, message: expect.stringContaining(message) }]);
  });

  it('is described without passwords', () => {
    const hushed = { REDIS_PASSWORD: 'hush', REDIS_SENTINEL_PASSWORD: 'hush' };
    const text = String(describeConfig(loadConfig({ ...sentinel, ...hushed })).redis);
    expect(text).toBe('lowrank, watched by Sentinels at s1:26379, [::1]:26380');
    const cluster = loadConfig({ REDIS_CLUSTER_NODES: 'a:7000', REDIS_PASSWORD: 'hush', REDIS_TLS: '1' });
    expect(describeConfig(cluster).redis).toBe('cluster of a:7000 by TLS');
  });

  it('gives its passwords to whoever keeps them out of logs', () => {
    expect(
      secretsOf(loadConfig({ ...sentinel, REDIS_PASSWORD: 'pass', REDIS_SENTINEL_PASSWORD: 'watch' })),
    ).toEqual(['pass', 'watch']);
    const urls = { DATABASE_URL: 'postgres://u:a%2Fb@db/x', REDIS_URL: 'redis://:hush@cache' };
    expect(new Set(secretsOf(loadConfig({ ...urls, LOWRANK_METRICS_TOKEN: 't'.repeat(16) })))).toEqual(
      new Set(['a%2Fb', 'a/b', 'hush', 't'.repeat(16)]),
    );
  });
});
