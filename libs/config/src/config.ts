import { type ErrorDetail, LowrankError } from '@lowrank/contracts';
import { homedir } from 'node:os';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { usableCores } from './cores';
import { describeRedis, redisIssues, redisOf, redisVariables, type RedisConfig } from './redis';
import { repositoryRoot } from './root';
import { flag, maskUrl, passwordsOf, url } from './variables';

export interface S3Config {
  /** null: AWS itself. */
  endpoint: string | null;
  region: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  forcePathStyle: boolean;
}

export interface Config {
  /** Absolute path of the folder that everything Lowrank keeps on this machine lives in. */
  dataDir: string;
  host: string;
  port: number;
  /** null: the embedded Postgres in dataDir. */
  databaseUrl: string | null;
  /** Most connections to it at a time, besides those that hold locks; null: the process knows how many it needs. */
  databaseConnections: number | null;
  /** null: the queue runs on Postgres too. */
  redis: RedisConfig | null;
  /** null: objects live in `<dataDir>/objects`. */
  s3: S3Config | null;
  /** Jobs that a worker runs at a time. */
  slots: number;
  /**
   * GPUs that get a worker each: `auto`, all that can be used, and the processors where there are none; `all`, and without any it does not
   * start; `off`, none; or those of these numbers and UUIDs.
   */
  gpus: 'auto' | 'all' | 'off' | readonly string[];
  /** What kind of device a worker has, for jobs that ask for one; null: as it is called. */
  deviceClass: string | null;
  /** Memory that a worker gives to all of its slots together, bytes; null: all that its device has. */
  memoryBytes: number | null;
  /** Most jobs that a trainer, which has one slot, trains together; 1: each has its own. */
  jobsPerTrainer: number;
  /** Threads of one trainer's kernels. */
  threads: number;
  /** Least time between two checkpoints of a job that are copied to the object store; null: none is. */
  mirrorSeconds: number | null;
  /** Absolute folder that the dashboard's pages are built into; where it does not exist, the API serves none. */
  dashboardDir: string;
  /** What is deleted is removed for good after this time, milliseconds; null: never. */
  retentionMs: number | null;
  /** Requests a second that each key and each session may send to one process of the API for long; null: as many as they like. */
  requestsPerSecond: number | null;
  /** Absolute folders that base models may be imported from. */
  importRoots: readonly string[];
  /** Address of the hub that base models are fetched from; null: the Hugging Face hub. */
  hubUrl: string | null;
  limits: { uploadBytes: number; lineBytes: number };
  queuePrefix: string;
  logLevel: z.infer<typeof logLevelSchema>;
  /** Lets Prometheus at the metrics without an API key; null: the API wants an admin key, workers nothing. */
  metricsToken: string | null;
  /** Where a worker answers Prometheus; null: nowhere. */
  workerMetrics: { host: string; port: number } | null;
  /** The servers of apps/serve: where the API finds them, where one listens, and what they let the API in by. */
  serve: {
    urls: readonly string[];
    host: string;
    port: number;
    token: string | null;
    /** Answers that a server generates at a time, and requests that wait for a turn. */
    running: number;
    waiting: number;
    /** Bases and adapters that stay in a server's memory when nobody uses them. */
    bases: number;
    adapters: number;
    /** How pairs of adapters are kept: in bfloat16 where that loses nothing (`auto`), in bfloat16 by rounding, or as floats. */
    adapterDtype: 'auto' | 'bf16' | 'f32';
    /** Tokens that the answers on one base have room for together, prompts included. */
    cacheTokens: number;
    /** Bytes that all of it may take while nobody uses some of it; null: no limit. */
    memoryBytes: number | null;
    /** Bytes that files of adapters may take on its disk while nobody uses them. */
    diskBytes: number;
    /** Longest that a request waits for its turn, and that a server which leaves gives the answers that it has begun. */
    waitSeconds: number;
    drainSeconds: number;
    /** Whether answers are taken through the model again while nobody is answered. */
    rereads: boolean;
  };
  /** Networks such as `10.1.0.0/16` that webhooks may be in although they are not public. */
  webhookNetworks: readonly string[];
  /** The same for datasets that are imported by URL, and for what a hub sends on to. */
  importNetworks: readonly string[];
  /** Networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. */
  trustedProxies: readonly string[];
}

const logLevelSchema = z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']);

const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`));

/** A secret that processes know each other by. */
const token = z
  .string()
  .regex(/^[\x21-\x7e]{16,512}$/, 'must be 16 to 512 printable ASCII characters without blanks');
const urls = z
  .string()
  .transform((text) => text.split(',').map((part) => part.trim().replace(/\/+$/, '')))
  .refine(
    (list) => list.every((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? '')),
    'must be URLs such as http://10.0.0.7:7381,http://10.0.0.8:7381',
  );
const isLoopback = (host: string): boolean => /^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host);

const isNetwork = (text: string): boolean => {
  const [address = '', bits = '', ...rest] = text.split('/');
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= most;
};
const networks = z
  .string()
  .transform((text) => text.split(',').map((network) => network.trim()))
  .refine((list) => list.every(isNetwork), 'must be networks such as 10.1.0.0/16,fd00::/8');

/** `auto`, `all`, `off`, or numbers and UUIDs as NVML has them; those with a + between train together. */
const gpus = z.enum(['auto', 'all', 'off']).or(
  z
    .string()
    .transform((text) => text.split(',').map((part) => part.trim()))
    .refine(
      (list) =>
        list.every((part) =>
          part.split('+').every((name) => /^(\d{1,3}|GPU-[0-9A-Za-z-]{1,60})$/.test(name)),
        ),
      'must be auto, all, off, or GPUs such as 0,1 or GPU-5a6c…, with a + between those that train together',
    ),
);

const gib = 2 ** 30;
const s3Variables = [
  'S3_ENDPOINT',
  'S3_REGION',
  'S3_BUCKET',
  'S3_ACCESS_KEY_ID',
  'S3_SECRET_ACCESS_KEY',
  'S3_FORCE_PATH_STYLE',
] as const;

const environmentSchema = z
  .object({
    LOWRANK_DATA: z.string().optional(),
    LOWRANK_HOST: z.string().default('127.0.0.1'),
    LOWRANK_PORT: integer(0, 65_535).default(7380),
    DATABASE_URL: url(/^postgres(ql)?$/, 'postgres://user:password@host:5432/database').optional(),
    LOWRANK_DATABASE_CONNECTIONS: integer(1, 1000).optional(),
    ...redisVariables,
    S3_ENDPOINT: url(/^https?$/, 'http://host:8333').optional(),
    S3_REGION: z.string().default('us-east-1'),
    S3_BUCKET: z.string().optional(),
    S3_ACCESS_KEY_ID: z.string().optional(),
    S3_SECRET_ACCESS_KEY: z.string().optional(),
    S3_FORCE_PATH_STYLE: flag.optional(),
    LOWRANK_SLOTS: integer(1, 64).default(1),
    LOWRANK_DEVICE_CLASS: z
      .string()
      .regex(
        /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/,
        "must be up to 40 lower-case letters, digits or '-', such as h100",
      )
      .optional(),
    LOWRANK_GPUS: gpus.default('auto'),
    // Read by the kernel library of trainers.
    LOWRANK_OFFLOAD: z.enum(['auto', 'checkpoints', 'on', 'off']).optional(),
    LOWRANK_MEMORY_BYTES: integer(1, 2 ** 50).optional(),
    LOWRANK_JOBS_PER_TRAINER: integer(1, 64).default(8),
    LOWRANK_THREADS: integer(1, 1024).default(() => usableCores()),
    LOWRANK_MIRROR_SECONDS: z
      .literal('off')
      .transform(() => null)
      .or(integer(0, 7 * 86_400))
      .default(0),
    LOWRANK_RETENTION_DAYS: z
      .literal('off')
      .transform(() => null)
      .or(integer(0, 36_500))
      .default(30),
    LOWRANK_REQUESTS_PER_SECOND: z
      .literal('off')
      .transform(() => null)
      .or(integer(1, 1_000_000))
      .default(500),
    LOWRANK_IMPORT_ROOTS: z.string().optional(),
    HF_ENDPOINT: url(/^https?$/, 'https://hub.example').optional(),
    LOWRANK_MAX_UPLOAD_BYTES: integer(1, 1024 * gib).default(2 * gib),
    LOWRANK_MAX_LINE_BYTES: integer(1024, gib).default(16 * 2 ** 20),
    LOWRANK_QUEUE_PREFIX: z
      .string()
      .regex(/^[a-z0-9][a-z0-9_-]{0,39}$/, "must be up to 40 lower-case letters, digits, '_' or '-'")
      .default('lowrank'),
    LOWRANK_LOG_LEVEL: logLevelSchema.default('info'),
    LOWRANK_METRICS_TOKEN: token.optional(),
    LOWRANK_SERVE_URLS: urls.optional(),
    LOWRANK_SERVE_HOST: z.string().default('127.0.0.1'),
    LOWRANK_SERVE_PORT: integer(0, 65_535).default(7381),
    LOWRANK_SERVE_TOKEN: token.optional(),
    LOWRANK_SERVE_RUNNING: integer(1, 1024).default(64),
    LOWRANK_SERVE_WAITING: integer(0, 100_000).default(256),
    LOWRANK_SERVE_BASES: integer(0, 64).default(1),
    LOWRANK_SERVE_ADAPTERS: integer(0, 100_000).default(64),
    LOWRANK_SERVE_ADAPTER_DTYPE: z.enum(['auto', 'bf16', 'f32']).default('auto'),
    LOWRANK_SERVE_CACHE_TOKENS: integer(256, 2 ** 24).default(16_384),
    LOWRANK_SERVE_MEMORY: integer(2 ** 20, 2 ** 50).optional(),
    LOWRANK_SERVE_DISK: integer(2 ** 20, 2 ** 50).default(20 * 2 ** 30),
    LOWRANK_SERVE_WAIT_SECONDS: integer(1, 3600).default(60),
    LOWRANK_SERVE_DRAIN_SECONDS: integer(0, 3600).default(120),
    LOWRANK_SERVE_REREAD: z.enum(['on', 'off']).default('on'),
    LOWRANK_WORKER_METRICS_PORT: integer(0, 65_535).optional(),
    LOWRANK_WORKER_METRICS_HOST: z.string().default('127.0.0.1'),
    LOWRANK_WEBHOOK_NETWORKS: networks.optional(),
    LOWRANK_IMPORT_NETWORKS: networks.optional(),
    LOWRANK_TRUSTED_PROXIES: networks.optional(),
  })
  .superRefine((env, context) => {
    if (!isLoopback(env.LOWRANK_WORKER_METRICS_HOST) && env.LOWRANK_METRICS_TOKEN === undefined)
      context.addIssue({
        code: 'custom',
        path: ['LOWRANK_METRICS_TOKEN'],
        message: 'must be set, because LOWRANK_WORKER_METRICS_HOST is not loopback',
      });
  })
  .superRefine((env, context) => {
    if (env.LOWRANK_SERVE_TOKEN === undefined && env.LOWRANK_SERVE_URLS !== undefined)
      context.addIssue({
        code: 'custom',
        path: ['LOWRANK_SERVE_TOKEN'],
        message: 'must be set, because LOWRANK_SERVE_URLS is',
      });
  })
  .superRefine((env, context) => {
    for (const [name, message] of redisIssues(env))
      context.addIssue({ code: 'custom', path: [name], message });
  })
  .superRefine((env, context) => {
    if (!s3Variables.some((name) => name !== 'S3_REGION' && env[name] !== undefined)) return;
    for (const name of ['S3_BUCKET', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'] as const) {
      if (env[name] === undefined)
        context.addIssue({
          code: 'custom',
          path: [name],
          message: 'must be set, because other S3_ variables are',
        });
    }
  });

/** Every environment variable that the product reads, but for OpenTelemetry's own. */
export const variableNames: readonly string[] = Object.keys(environmentSchema.shape);

/**
 * Reads the environment once. An empty variable counts as unset, as Compose files and shells make them.
 *
 * @throws LowrankError validation_failed with one detail per wrong variable; values are never repeated, they may be secrets.
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const set = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = environmentSchema.safeParse(set);
  if (!parsed.success) {
    const details: ErrorDetail[] = parsed.error.issues.map((issue) => ({
      path: issue.path.join('.'),
      message: issue.message,
    }));
    const list = details.map((detail) => `${detail.path} ${detail.message}`).join('; ');
    throw new LowrankError('validation_failed', `The configuration is wrong: ${list}.`, details, {
      help: 'Correct these environment variables and start again.',
    });
  }
  const value = parsed.data;
  const dataDir = resolve(value.LOWRANK_DATA ?? join(repositoryRoot, '.lowrank'));
  return deepFreeze({
    dataDir,
    dashboardDir: join(repositoryRoot, 'apps', 'dashboard', 'dist'),
    host: value.LOWRANK_HOST,
    port: value.LOWRANK_PORT,
    databaseUrl: value.DATABASE_URL ?? null,
    databaseConnections: value.LOWRANK_DATABASE_CONNECTIONS ?? null,
    redis: redisOf(value),
    s3: s3Of(value),
    slots: value.LOWRANK_SLOTS,
    gpus: value.LOWRANK_GPUS,
    deviceClass: value.LOWRANK_DEVICE_CLASS ?? null,
    memoryBytes: value.LOWRANK_MEMORY_BYTES ?? null,
    jobsPerTrainer: value.LOWRANK_JOBS_PER_TRAINER,
    threads: value.LOWRANK_THREADS,
    mirrorSeconds: value.LOWRANK_MIRROR_SECONDS,
    retentionMs: value.LOWRANK_RETENTION_DAYS === null ? null : value.LOWRANK_RETENTION_DAYS * 86_400_000,
    requestsPerSecond: value.LOWRANK_REQUESTS_PER_SECOND,
    importRoots: value.LOWRANK_IMPORT_ROOTS
      ? value.LOWRANK_IMPORT_ROOTS.split(':')
          .filter(Boolean)
          .map((folder) => resolve(folder))
      : [homedir(), join(repositoryRoot, 'samples'), ...(value.DATABASE_URL ? [] : [dataDir])],
    hubUrl: value.HF_ENDPOINT?.replace(/\/+$/, '') ?? null,
    limits: { uploadBytes: value.LOWRANK_MAX_UPLOAD_BYTES, lineBytes: value.LOWRANK_MAX_LINE_BYTES },
    queuePrefix: value.LOWRANK_QUEUE_PREFIX,
    logLevel: value.LOWRANK_LOG_LEVEL,
    metricsToken: value.LOWRANK_METRICS_TOKEN ?? null,
    serve: {
      urls: value.LOWRANK_SERVE_URLS ?? [],
      host: value.LOWRANK_SERVE_HOST,
      port: value.LOWRANK_SERVE_PORT,
      token: value.LOWRANK_SERVE_TOKEN ?? null,
      running: value.LOWRANK_SERVE_RUNNING,
      waiting: value.LOWRANK_SERVE_WAITING,
      bases: value.LOWRANK_SERVE_BASES,
      adapters: value.LOWRANK_SERVE_ADAPTERS,
      adapterDtype: value.LOWRANK_SERVE_ADAPTER_DTYPE,
      cacheTokens: value.LOWRANK_SERVE_CACHE_TOKENS,
      memoryBytes: value.LOWRANK_SERVE_MEMORY ?? null,
      diskBytes: value.LOWRANK_SERVE_DISK,
      waitSeconds: value.LOWRANK_SERVE_WAIT_SECONDS,
      drainSeconds: value.LOWRANK_SERVE_DRAIN_SECONDS,
      rereads: value.LOWRANK_SERVE_REREAD === 'on',
    },
    webhookNetworks: value.LOWRANK_WEBHOOK_NETWORKS ?? [],
    importNetworks: value.LOWRANK_IMPORT_NETWORKS ?? [],
    trustedProxies: value.LOWRANK_TRUSTED_PROXIES ?? [],
    workerMetrics:
      value.LOWRANK_WORKER_METRICS_PORT === undefined
        ? null
        : { host: value.LOWRANK_WORKER_METRICS_HOST, port: value.LOWRANK_WORKER_METRICS_PORT },
  });
}

function s3Of(value: z.infer<typeof environmentSchema>): S3Config | null {
  const { S3_BUCKET, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY } = value;
  if (S3_BUCKET === undefined || S3_ACCESS_KEY_ID === undefined || S3_SECRET_ACCESS_KEY === undefined)
    return null;
  return {
    endpoint: value.S3_ENDPOINT ?? null,
    region: value.S3_REGION,
    bucket: S3_BUCKET,
    accessKeyId: S3_ACCESS_KEY_ID,
    secretAccessKey: S3_SECRET_ACCESS_KEY,
    // Servers other than AWS are reached by one host name, so the bucket goes into the path.
    forcePathStyle: value.S3_FORCE_PATH_STYLE ?? value.S3_ENDPOINT !== undefined,
  };
}

/** The configuration as it may be logged: secrets and the passwords of URLs replaced by `***`. */
export function describeConfig(config: Config): Record<string, unknown> {
  return {
    ...config,
    databaseUrl: config.databaseUrl === null ? 'embedded' : maskUrl(config.databaseUrl),
    redis: config.redis === null ? 'queue on Postgres' : describeRedis(config.redis),
    s3:
      config.s3 === null
        ? `folder ${join(config.dataDir, 'objects')}`
        : { ...config.s3, secretAccessKey: '***' },
    metricsToken: config.metricsToken === null ? null : '***',
    serve: { ...config.serve, token: config.serve.token === null ? null : '***' },
  };
}

/** Values of a configuration that must not be read in a log, whatever says them. */
export function secretsOf({ databaseUrl, redis, s3, metricsToken, serve }: Config): string[] {
  const locations = [databaseUrl, redis?.type === 'single' ? redis.url : null];
  const passwords = redis && redis.type !== 'single' ? [redis.password] : [];
  const sentinels = redis?.type === 'sentinel' ? [redis.sentinelPassword] : [];
  const secrets = [...passwords, ...sentinels, s3?.secretAccessKey, metricsToken, serve.token];
  return [...locations.flatMap(passwordsOf), ...secrets].filter((secret) => typeof secret === 'string');
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value))
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner);
  return Object.freeze(value);
}
