import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { type EmbeddedPostgres, startPostgres } from '@lowrank/platform';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Pool } from 'pg';
import { Skipped } from '../suite';
import { end, Program } from './program';
import { until } from './wait';

const run = promisify(execFile);
export const root = resolve(__dirname, '../../..');

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const listens = (port: number): Promise<boolean> =>
  new Promise((resolved) => {
    const socket = connect(port, '127.0.0.1', () => resolved(socket.destroy() !== null));
    socket.once('error', () => resolved(false));
  });

async function find(command: string, needs: string): Promise<string> {
  const found = await run('which', [command]).catch(() => null);
  if (found === null) throw new Skipped(`needs ${needs}`);
  return found.stdout.trim();
}

/** A PostgreSQL server of its own, on the same port at every start. */
export class Postgres {
  private server: EmbeddedPostgres | null = null;
  private port = 0;
  private pool: Pool | null = null;

  constructor(private readonly dataDir: string) {}

  get url(): string {
    if (this.server === null) throw new Error('Postgres has not been started');
    return this.server.url;
  }

  async start(): Promise<void> {
    this.port ||= await freePort();
    const settings = { max_connections: '300', shared_buffers: '128MB' };
    // After a SIGKILL its children hold the shared memory for a moment.
    this.server = await until('Postgres to start', () =>
      startPostgres({ dataDir: this.dataDir, port: this.port, settings }),
    );
  }

  /** Fast shutdown, as an upgrade or a service manager does it. */
  async stop(): Promise<void> {
    await this.server?.stop();
  }

  async kill(): Promise<void> {
    const { pid } = this.server as EmbeddedPostgres;
    end(pid);
    await until('Postgres to be gone', async () => !end(pid, 0 as unknown as NodeJS.Signals));
  }

  async query<T>(text: string, values: unknown[] = []): Promise<T[]> {
    if (this.pool === null) {
      this.pool = new Pool({ connectionString: this.url, max: 4 });
      this.pool.on('error', () => undefined);
    }
    return (await this.pool.query(text, values)).rows as T[];
  }

  async close(): Promise<void> {
    await this.pool?.end();
    await this.stop();
  }
}

/** A Redis server of its own that keeps nothing: what a kill takes is gone. */
export class Redis {
  private server: Program | null = null;
  private constructor(
    private readonly command: string,
    private readonly folder: string,
    readonly port: number,
  ) {}

  static async start(folder: string): Promise<Redis> {
    const command = await find('redis-server', "redis-server (Debian's package of that name)");
    await mkdir(folder, { recursive: true });
    const redis = new Redis(command, folder, await freePort());
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const { command, folder, port } = this;
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
    this.server = new Program({ name: 'redis', command, args, logFile: join(folder, 'redis.log') });
    await until('Redis to answer', async () => (await this.ask('PING')) === 'PONG');
  }

  async kill(): Promise<void> {
    await this.server?.kill();
  }

  async ask(...args: string[]): Promise<string> {
    return (await run('redis-cli', ['-p', String(this.port), ...args])).stdout.trim();
  }

  /** Wake-ups that wait in any queue, and those that a worker has in hand. */
  async entries(): Promise<{ waiting: number; active: number }> {
    const count = async (list: string): Promise<number> => {
      const keys = (await this.ask('--scan', '--pattern', `*:${list}`)).split('\n').filter(Boolean);
      const lengths = await Promise.all(keys.map((key) => this.ask('LLEN', key)));
      return lengths.reduce((sum, length) => sum + Number(length), 0);
    };
    return { waiting: await count('wait'), active: await count('active') };
  }
}

/** An S3 server: the one of TEST_S3_ENDPOINT, or moto where `tools/oracle/setup.sh` has installed it. */
export async function startS3(folder: string): Promise<string> {
  const given = process.env.TEST_S3_ENDPOINT;
  if (given) return given;
  const command = join(root, 'tools/oracle/.venv/bin/python');
  if (!existsSync(command))
    throw new Skipped('needs an S3 server: run tools/oracle/setup.sh, or set TEST_S3_ENDPOINT');
  const port = await freePort();
  const args = [join(root, 'tools/oracle/s3_server.py'), String(port)];
  new Program({ name: 's3', command, args, env: process.env, logFile: join(folder, 's3.log') });
  await until('the S3 server to listen', () => listens(port));
  return `http://127.0.0.1:${port}`;
}

const credentials = { accessKeyId: 'failures', secretAccessKey: 'failures' };

/** A client of the server itself, whatever stands in front of it for others. */
const clientOf = (server: string): S3Client =>
  new S3Client({ endpoint: server, region: 'us-east-1', credentials, forcePathStyle: true });

/** What a Lowrank process needs to use a new bucket of the server, reached through `endpoint`. */
export async function makeBucket(server: string, endpoint: string): Promise<NodeJS.ProcessEnv> {
  const bucket = `failures-${Date.now().toString(36)}${Math.random().toString(36).slice(2, 6)}`;
  const client = clientOf(server);
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return {
    S3_ENDPOINT: endpoint,
    S3_BUCKET: bucket,
    S3_ACCESS_KEY_ID: credentials.accessKeyId,
    S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
}

/** Changes one byte of an object behind everybody's back. */
export async function flipByte(server: string, bucket: string, key: string, at: number): Promise<void> {
  const client = clientOf(server);
  const object = { Bucket: bucket, Key: key };
  const { Body } = await client.send(new GetObjectCommand(object));
  const bytes = await (Body as { transformToByteArray(): Promise<Uint8Array> }).transformToByteArray();
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await client.send(new PutObjectCommand({ ...object, Body: bytes }));
  client.destroy();
}
