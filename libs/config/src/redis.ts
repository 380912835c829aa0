import { z } from 'zod';
import { flag, maskUrl, url } from './variables';

export interface RedisNode {
  host: string;
  port: number;
}

interface RedisAccess {
  username: string | null;
  password: string | null;
  tls: boolean;
}

/** Where the queue's Redis is. */
export type RedisConfig =
  /** One server; who it is, who asks and whether by TLS is in the URL. */
  | { type: 'single'; url: string }
  /** A primary and its replicas, watched by Sentinels, which say where the primary is; `name` is what they call it. */
  | (RedisAccess & {
      type: 'sentinel';
      sentinels: readonly RedisNode[];
      name: string;
      sentinelPassword: string | null;
    })
  /** A cluster, by some of its nodes; they name the others. */
  | (RedisAccess & { type: 'cluster'; nodes: readonly RedisNode[] });

const nodePattern = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/;

function nodeOf(text: string): RedisNode | null {
  const [, v6, name, digits] = nodePattern.exec(text.trim()) ?? [];
  const host = v6 ?? name;
  const port = Number(digits);
  return host !== undefined && port > 0 && port < 65_536 ? { host, port } : null;
}

const nodes = z.string().transform((text, context) => {
  const list = text.split(',').map(nodeOf);
  const known = list.filter((node) => node !== null);
  if (known.length < list.length)
    context.addIssue({ code: 'custom', message: 'must be addresses such as host:6379,[::1]:6380' });
  return known;
});

export const redisVariables = {
  REDIS_URL: url(/^rediss?$/, 'redis://host:6379').optional(),
  REDIS_SENTINELS: nodes.optional(),
  REDIS_SENTINEL_NAME: z.string().optional(),
  REDIS_SENTINEL_PASSWORD: z.string().optional(),
  REDIS_CLUSTER_NODES: nodes.optional(),
  REDIS_USERNAME: z.string().optional(),
  REDIS_PASSWORD: z.string().optional(),
  REDIS_TLS: flag.optional(),
};
type RedisEnvironment = z.infer<z.ZodObject<typeof redisVariables>>;

const topologies = ['REDIS_URL', 'REDIS_SENTINELS', 'REDIS_CLUSTER_NODES'] as const;

/** Variables that do not go together, with what is wrong. */
export function redisIssues(env: RedisEnvironment): [string, string][] {
  const given = topologies.filter((name) => env[name] !== undefined);
  const issues = given
    .slice(1)
    .map((name): [string, string] => [name, `cannot be set beside ${given[0]}: there is one Redis`]);
  if (env.REDIS_SENTINELS !== undefined && env.REDIS_SENTINEL_NAME === undefined)
    issues.push([
      'REDIS_SENTINEL_NAME',
      'must be set, because REDIS_SENTINELS is: what the Sentinels call the primary',
    ]);
  if (env.REDIS_SENTINELS === undefined)
    for (const name of ['REDIS_SENTINEL_NAME', 'REDIS_SENTINEL_PASSWORD'] as const)
      if (env[name] !== undefined) issues.push([name, 'is of no use without REDIS_SENTINELS']);
  if (env.REDIS_SENTINELS === undefined && env.REDIS_CLUSTER_NODES === undefined)
    for (const name of ['REDIS_USERNAME', 'REDIS_PASSWORD', 'REDIS_TLS'] as const)
      if (env[name] !== undefined)
        issues.push([
          name,
          'is for REDIS_SENTINELS and REDIS_CLUSTER_NODES; for one server it belongs into REDIS_URL, such as rediss://user:password@host:6379',
        ]);
  return issues;
}

export function redisOf(env: RedisEnvironment): RedisConfig | null {
  if (env.REDIS_URL !== undefined) return { type: 'single', url: env.REDIS_URL };
  const access = {
    username: env.REDIS_USERNAME ?? null,
    password: env.REDIS_PASSWORD ?? null,
    tls: env.REDIS_TLS ?? false,
  };
  if (env.REDIS_SENTINELS !== undefined)
    return {
      ...{ type: 'sentinel', sentinels: env.REDIS_SENTINELS, name: env.REDIS_SENTINEL_NAME ?? '' },
      ...{ sentinelPassword: env.REDIS_SENTINEL_PASSWORD ?? null, ...access },
    };
  return env.REDIS_CLUSTER_NODES === undefined
    ? null
    : { type: 'cluster', nodes: env.REDIS_CLUSTER_NODES, ...access };
}

const addressOf = ({ host, port }: RedisNode): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** In words, without secrets. */
export function describeRedis(redis: RedisConfig): string {
  if (redis.type === 'single') return maskUrl(redis.url);
  const by = redis.tls ? ' by TLS' : '';
  return redis.type === 'sentinel'
    ? `${redis.name}, watched by Sentinels at ${redis.sentinels.map(addressOf).join(', ')}${by}`
    : `cluster of ${redis.nodes.map(addressOf).join(', ')}${by}`;
}
