import { type RedisConfig } from '@lowrank/config';
import { Cluster, Redis, type RedisOptions } from 'ioredis';

/** Redis as it is configured; `options` are of every connection. Connects by itself, and again whenever it has to. */
export function connectRedis(config: RedisConfig, options: RedisOptions): Redis | Cluster {
  if (config.type === 'single') return new Redis(config.url, options);
  const access: RedisOptions = {
    ...options,
    ...(config.username === null ? {} : { username: config.username }),
    ...(config.password === null ? {} : { password: config.password }),
    ...(config.tls ? { tls: {} } : {}),
  };
  if (config.type === 'cluster')
    return new Cluster([...config.nodes], {
      redisOptions: access,
      // Nodes that fail over refuse for a moment; as many tries as a command of one server gets.
      ...(options.maxRetriesPerRequest === null ? {} : { maxRedirections: 4 }),
      // Certificates are for names; looked up here they would be compared with addresses.
      ...(config.tls ? { dnsLookup: (address, done) => done(null, address) } : {}),
    });
  return new Redis({
    ...access,
    sentinels: [...config.sentinels],
    name: config.name,
    ...(config.sentinelPassword === null ? {} : { sentinelPassword: config.sentinelPassword }),
    enableTLSForSentinelMode: config.tls,
    ...(config.tls ? { sentinelTLS: {} } : {}),
  });
}

/** BullMQ's scripts touch several keys at a time; in a cluster those have to be on one node, which is what braces say. */
export const keyPrefixOf = ({ type }: RedisConfig, prefix: string): string =>
  type === 'cluster' ? `{${prefix}}` : prefix;
