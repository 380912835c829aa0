import {
  createPostgresBackend,
  createRedisBackend,
  type Processor,
  type QueueOptions,
  type WorkerOptions,
  withBackend,
} from 'bullmq';
import { type RedisConfig } from '@lowrank/config';
import { type Redis, type Cluster, type RedisOptions } from 'ioredis';
import { connectRedis, keyPrefixOf } from './redis';

/** Where the queue lives: in Redis when there is one, else in the database. `prefix` keeps installations and tests apart. */
export interface QueueConnection {
  databaseUrl: string;
  redis: RedisConfig | null;
  prefix: string;
}

/** What this library uses of BullMQ's Queue and Worker, whatever is under them. */
export interface QueueHandle {
  add(name: string, data: unknown, options: { jobId: string }): Promise<unknown>;
  getJobCounts(...states: ('wait' | 'prioritized' | 'active')[]): Promise<Record<string, number>>;
  obliterate(options: { force: boolean }): Promise<unknown>;
  close(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}
export interface WorkerHandle {
  close(force?: boolean): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'failed', listener: (job: unknown, error: Error) => void): unknown;
}

type Settings<Options> = Omit<Options, 'connection' | 'prefix'>;

/** Opens BullMQ's two ends on one backend. Each end closes its own connections, `close` those that they share. */
export interface Backend {
  queue(name: string, settings: Settings<QueueOptions>): QueueHandle;
  worker(name: string, processor: Processor, settings: Settings<WorkerOptions>): WorkerHandle;
  /** Version of the server under it; null: the database's, which others tell. */
  version(): Promise<string | null>;
  close(): Promise<void>;
}

/** PostgreSQL schema names: letters, digits and underscores. */
const schemaOf = (prefix: string): string => `queue_${prefix.toLowerCase().replace(/[^a-z0-9]/g, '_')}`;

function postgresBackend({ databaseUrl, prefix }: QueueConnection): Backend {
  const { Queue, Worker } = withBackend(createPostgresBackend);
  const connection = (max: number) => ({
    connectionString: databaseUrl,
    schema: schemaOf(prefix),
    migrate: true,
    max,
  });
  return {
    // There is a producer for every worker; its connection closes when it has been idle for some seconds.
    queue: (name, settings) => new Queue(name, { ...settings, connection: connection(1) }),
    worker: (name, processor, settings) =>
      new Worker(name, processor, { ...settings, connection: connection(4) }),
    version: async () => null,
    close: async () => {},
  };
}

/** BullMQ leaves a client that it was given open, so the handle's close ends the client too. */
function closing<T extends { close(force?: boolean): Promise<void> }>(handle: T, client: Redis | Cluster): T {
  const close = handle.close.bind(handle);
  handle.close = async (force?: boolean) => {
    await close(force);
    client.disconnect();
  };
  return handle;
}

function redisBackend(config: RedisConfig, installation: string): Backend {
  const { Queue, Worker } = withBackend(createRedisBackend);
  const prefix = keyPrefixOf(config, installation);
  const client = (options: RedisOptions) => {
    const redis = connectRedis(config, options);
    // The handle reports errors of its connection; without a listener here ioredis would print them too.
    redis.on('error', () => {});
    return redis;
  };
  let producer: Redis | Cluster | null = null;
  const producing = () => {
    // A producer must fail at once while Redis is away: the outbox keeps the wake-up. The first connection may take its time.
    producer ??= client({ maxRetriesPerRequest: 1, enableOfflineQueue: true, commandTimeout: 5_000 });
    return producer;
  };
  return {
    queue: (name, settings) => new Queue(name, { ...settings, connection: producing(), prefix }),
    worker: (name, processor, settings) => {
      // A consumer waits for Redis however long it is away.
      const redis = client({ maxRetriesPerRequest: null });
      return closing(new Worker(name, processor, { ...settings, connection: redis, prefix }), redis);
    },
    version: async () => /^redis_version:(\S+)/m.exec(await producing().info('server'))?.[1] ?? null,
    close: async () => producer?.disconnect(),
  };
}

export function openBackend(connection: QueueConnection): Backend {
  return connection.redis === null
    ? postgresBackend(connection)
    : redisBackend(connection.redis, connection.prefix);
}
