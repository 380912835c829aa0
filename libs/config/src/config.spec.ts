import { LowrankError } from '@lowrank/contracts';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { describeConfig, loadConfig } from './config';

const s3 = { S3_BUCKET: 'lowrank', S3_ACCESS_KEY_ID: 'id', S3_SECRET_ACCESS_KEY: 'very-secret' };

const failure = (env: NodeJS.ProcessEnv): LowrankError => {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof LowrankError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
};

describe('loadConfig', () => {
  it('needs no variable: everything embedded, on loopback', () => {
    const config = loadConfig({});
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 7380,
      databaseUrl: null,
      redis: null,
      s3: null,
      slots: 1,
      jobsPerTrainer: 8,
      queuePrefix: 'lowrank',
      logLevel: 'info',
      limits: { uploadBytes: 2 ** 31, lineBytes: 2 ** 24 },
    });
    expect(config.threads).toBeGreaterThanOrEqual(1);
    const root = dirname(config.dataDir);
    expect(existsSync(join(root, 'package.json'))).toBe(true);
    expect(config.importRoots).toEqual([homedir(), join(root, 'samples'), config.dataDir]);
  });

  it('is frozen to the bottom', () => {
    const config = loadConfig(s3);
    expect(() => Object.assign(config.limits, { uploadBytes: 1 })).toThrow(TypeError);
    expect(() => Object.assign(config.s3 as object, { bucket: 'other' })).toThrow(TypeError);
  });

  it('says what a worker offers: the whole machine, unless told otherwise', () => {
    expect(loadConfig({})).toMatchObject({ gpus: 'auto', deviceClass: null, memoryBytes: null });
    for (const gpus of ['auto', 'all', 'off'])
      expect(loadConfig({ LOWRANK_GPUS: gpus })).toMatchObject({ gpus });
    expect(loadConfig({ LOWRANK_GPUS: '0, GPU-5a6c-01' })).toMatchObject({ gpus: ['0', 'GPU-5a6c-01'] });
    expect(loadConfig({ LOWRANK_GPUS: '0+GPU-5a,2' })).toMatchObject({ gpus: ['0+GPU-5a', '2'] });
    for (const gpus of ['none', '0,,1', 'GPU 1', '0+', '0++1'])
      expect(failure({ LOWRANK_GPUS: gpus }).message).toContain('LOWRANK_GPUS');
    const told = { LOWRANK_DEVICE_CLASS: 'h100-80', LOWRANK_MEMORY_BYTES: '1000' };
    expect(loadConfig(told)).toMatchObject({ deviceClass: 'h100-80', memoryBytes: 1000 });
    for (const name of ['H100', 'h100-', 'a b'])
      expect(failure({ LOWRANK_DEVICE_CLASS: name }).message).toContain('LOWRANK_DEVICE_CLASS');
  });

  it('leaves it to each process how many connections it has to Postgres, unless told otherwise', () => {
    expect(loadConfig({}).databaseConnections).toBeNull();
    expect(loadConfig({ LOWRANK_DATABASE_CONNECTIONS: '1' }).databaseConnections).toBe(1);
    expect(failure({ LOWRANK_DATABASE_CONNECTIONS: '0' }).message).toContain('LOWRANK_DATABASE_CONNECTIONS');
  });

  it('copies every checkpoint to the object store, unless told otherwise', () => {
    expect(loadConfig({}).mirrorSeconds).toBe(0);
    expect(loadConfig({ LOWRANK_MIRROR_SECONDS: '300' }).mirrorSeconds).toBe(300);
    expect(loadConfig({ LOWRANK_MIRROR_SECONDS: 'off' }).mirrorSeconds).toBeNull();
    expect(loadConfig({}).retentionMs).toBe(30 * 86_400_000);
    expect(loadConfig({ LOWRANK_RETENTION_DAYS: 'off' }).retentionMs).toBeNull();
    for (const wrong of ['on', '-1', '1.5'])
      expect(failure({ LOWRANK_MIRROR_SECONDS: wrong }).message).toContain('LOWRANK_MIRROR_SECONDS');
  });

  it('listens on loopback, unless told otherwise', () => {
    const config = loadConfig({});
    expect([config.host, config.serve.host]).toEqual(['127.0.0.1', '127.0.0.1']);
    expect(loadConfig({ LOWRANK_SERVE_HOST: '0.0.0.0' }).serve.host).toBe('0.0.0.0');
  });

  it('keeps pairs in bfloat16 where that loses nothing, unless told otherwise', () => {
    expect(loadConfig({}).serve.adapterDtype).toBe('auto');
    expect(loadConfig({ LOWRANK_SERVE_ADAPTER_DTYPE: 'bf16' }).serve.adapterDtype).toBe('bf16');
    const wrong = failure({ LOWRANK_SERVE_ADAPTER_DTYPE: 'half' }).message;
    expect(wrong).toContain('LOWRANK_SERVE_ADAPTER_DTYPE');
  });

  it('has answers read again for the next turn, unless told otherwise', () => {
    expect(loadConfig({}).serve.rereads).toBe(true);
    expect(loadConfig({ LOWRANK_SERVE_REREAD: 'off' }).serve.rereads).toBe(false);
  });

  it('limits the requests of each caller, unless told otherwise', () => {
    expect(loadConfig({}).requestsPerSecond).toBe(500);
    expect(loadConfig({ LOWRANK_REQUESTS_PER_SECOND: '20' }).requestsPerSecond).toBe(20);
    expect(loadConfig({ LOWRANK_REQUESTS_PER_SECOND: 'off' }).requestsPerSecond).toBeNull();
    for (const wrong of ['0', '-1', 'on'])
      expect(failure({ LOWRANK_REQUESTS_PER_SECOND: wrong }).message).toContain('REQUESTS_PER_SECOND');
  });

  it('shows metrics of workers only where it is told to, and off loopback only with a token', () => {
    expect(loadConfig({})).toMatchObject({ workerMetrics: null, metricsToken: null });
    expect(loadConfig({ LOWRANK_WORKER_METRICS_PORT: '7390' }).workerMetrics).toEqual({
      host: '127.0.0.1',
      port: 7390,
    });
    const open = { LOWRANK_WORKER_METRICS_PORT: '7390', LOWRANK_WORKER_METRICS_HOST: '0.0.0.0' };
    expect(failure(open).details).toMatchObject([{ path: 'LOWRANK_METRICS_TOKEN' }]);
    const config = loadConfig({ ...open, LOWRANK_METRICS_TOKEN: 'a-token-of-sixteen' });
    expect(config).toMatchObject({ workerMetrics: { host: '0.0.0.0' }, metricsToken: 'a-token-of-sixteen' });
    expect(JSON.stringify(describeConfig(config))).not.toContain('a-token');
    expect(failure({ LOWRANK_METRICS_TOKEN: 'short' }).message).toContain('16 to 512');
  });

  it('takes networks that webhooks may be in', () => {
    expect(loadConfig({}).webhookNetworks).toEqual([]);
    const networks = '10.1.0.0/16, fd00::/8';
    expect(loadConfig({ LOWRANK_WEBHOOK_NETWORKS: networks }).webhookNetworks).toEqual([
      '10.1.0.0/16',
      'fd00::/8',
    ]);
    for (const wrong of ['10.1.0.0', '10.1.0.0/33', 'fd00::/129', 'inside/8', '10.0.0.0/8/8', '10.0.0.0/8,'])
      expect(failure({ LOWRANK_WEBHOOK_NETWORKS: wrong }).message).toContain('LOWRANK_WEBHOOK_NETWORKS');
  });

  it('takes networks that datasets may come from, and those of proxies', () => {
    expect(loadConfig({})).toMatchObject({ importNetworks: [], trustedProxies: [] });
    const variables = {
      LOWRANK_IMPORT_NETWORKS: '10.1.0.0/16',
      LOWRANK_TRUSTED_PROXIES: '10.2.0.0/16, fd00::/8',
    };
    expect(loadConfig(variables)).toMatchObject({
      importNetworks: ['10.1.0.0/16'],
      trustedProxies: ['10.2.0.0/16', 'fd00::/8'],
    });
    expect(failure({ LOWRANK_TRUSTED_PROXIES: 'everybody' }).message).toContain('LOWRANK_TRUSTED_PROXIES');
  });

  it('takes empty variables for unset ones', () => {
    expect(loadConfig({ DATABASE_URL: '', LOWRANK_PORT: '', S3_BUCKET: '' })).toMatchObject({
      databaseUrl: null,
      port: 7380,
      s3: null,
    });
  });

  it('reads an S3 store, with the bucket in the path when it is not on AWS', () => {
    expect(loadConfig(s3).s3).toEqual({
      endpoint: null,
      region: 'us-east-1',
      bucket: 'lowrank',
      accessKeyId: 'id',
      secretAccessKey: 'very-secret',
      forcePathStyle: false,
    });
    const own = { ...s3, S3_ENDPOINT: 'http://127.0.0.1:8333' };
    expect(loadConfig(own).s3?.forcePathStyle).toBe(true);
    expect(loadConfig({ ...own, S3_FORCE_PATH_STYLE: 'false' }).s3?.forcePathStyle).toBe(false);
  });

  it('keeps the data folder out of the import roots when Postgres is elsewhere, and takes a list', () => {
    const databaseUrl = 'postgres://u:p@db:5432/x';
    expect(
      loadConfig({ DATABASE_URL: databaseUrl, LOWRANK_DATA: '/var/lib/lowrank' }).importRoots,
    ).not.toContain('/var/lib/lowrank');
    expect(loadConfig({ LOWRANK_IMPORT_ROOTS: '/models::/more/../other' }).importRoots).toEqual([
      '/models',
      '/other',
    ]);
  });

  it.each([
    ['LOWRANK_PORT', '70000', 'at most 65535'],
    ['LOWRANK_PORT', '12x', 'whole number'],
    ['LOWRANK_SLOTS', '0', 'at least 1'],
    ['DATABASE_URL', 'mysql://u:p@db/x', 'postgres://'],
    ['REDIS_URL', 'http://redis', 'redis://'],
    ['LOWRANK_QUEUE_PREFIX', 'a:b', 'lower-case'],
    ['LOWRANK_LOG_LEVEL', 'loud', 'info'],
    ['S3_FORCE_PATH_STYLE', 'perhaps', 'true or false'],
  ])('refuses %s=%s', (name, value, message) => {
    const error = failure({ ...(name.startsWith('S3') ? s3 : {}), [name]: value });
    expect(error.code).toBe('validation_failed');
    expect(error.details).toEqual([{ path: name, message: expect.stringContaining(message) }]);
  });

  it('names every wrong variable at once and repeats no value', () => {
    const error = failure({ S3_SECRET_ACCESS_KEY: 'very-secret', LOWRANK_PORT: 'secret-port' });
    expect(error.details?.map((detail) => detail.path).sort()).toEqual([
      'LOWRANK_PORT',
      'S3_ACCESS_KEY_ID',
      'S3_BUCKET',
    ]);
    expect(JSON.stringify([error.message, error.details])).not.toMatch(/secret-port|very-secret/);
    expect(failure({ S3_ENDPOINT: 'http://s3' }).details?.map((detail) => detail.path)).toEqual([
      'S3_BUCKET',
      'S3_ACCESS_KEY_ID',
      'S3_SECRET_ACCESS_KEY',
    ]);
  });
});

it('describes a configuration without its secrets', () => {
  const text = JSON.stringify(
    describeConfig(
      loadConfig({
        ...s3,
        DATABASE_URL: 'postgres://user:hush@db:5432/x?password=hush',
        REDIS_URL: 'redis://:hush@cache:6379',
      }),
    ),
  );
  expect(text).not.toMatch(/hush|very-secret/);
  expect(text).toContain('postgres://user:***@db:5432/x');
  expect(text).toContain('"bucket":"lowrank"');
  expect(describeConfig(loadConfig({}))).toMatchObject({
    databaseUrl: 'embedded',
    redis: 'queue on Postgres',
  });
});
