import { type Config, describeRedis, type RedisConfig, type RedisNode } from '@lowrank/config';
import { createUnitOfWork } from '@lowrank/db';
import { openKernels } from '@lowrank/kernels';
import { createObjectStore } from '@lowrank/storage';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, statfs } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import { Api } from '../client/api';
import { adminKeyFile, findRunning, urlHost } from '../connect';
import { formatBytes } from '../terminal';
import { isFree } from '../up/port';

/** What one look at the machine showed, and what to do about it unless it is ok. */
export interface Finding {
  level: 'ok' | 'warn' | 'fail';
  message: string;
  help?: string;
}
export interface Check {
  name: string;
  look(config: Config): Finding | Promise<Finding>;
}

const timeoutMs = 5000;
const ok = (message: string): Finding => ({ level: 'ok', message });
const warn = (message: string, help: string): Finding => ({ level: 'warn', message, help });
const fail = (message: string, help: string): Finding => ({ level: 'fail', message, help });
const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export const checks: readonly Check[] = [
  { name: 'Node', look: () => lookAtNode(process.versions.node) },
  { name: 'compiler', look: lookAtCompiler },
  { name: 'kernels', look: lookAtKernels },
  { name: 'memory', look: () => lookAtMemory(totalmem(), freemem()) },
  { name: 'disk', look: lookAtDisk },
  { name: 'Postgres', look: lookAtPostgres },
  { name: 'queue', look: lookAtQueue },
  { name: 'objects', look: lookAtObjects },
  { name: 'server', look: lookAtServer },
];

/** `version`: as in process.versions.node. */
export function lookAtNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const fits = major > 20 || (major === 20 && minor >= 19);
  return fits ? ok(version) : fail(`${version} is too old`, 'Install Node 20.19 or newer.');
}

function lookAtCompiler(): Finding {
  const tools = [process.env.CXX || 'g++', 'make'];
  const missing = tools.filter((tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0);
  if (missing.length === 0) return ok(tools.join(', '));
  return warn(
    `${missing.join(' and ')} not found; only needed to build the kernels anew`,
    'Debian, Ubuntu: apt-get install g++ make. macOS: xcode-select --install.',
  );
}

function lookAtKernels({ threads }: Config): Finding {
  try {
    const kernels = openKernels({ threads });
    const { version, isa, compute } = kernels.info;
    kernels.close();
    const text = `${version}, ${isa}, ${compute}, ${threads} of ${availableParallelism()} cores`;
    return isa === 'scalar'
      ? warn(`${text}: no AVX2, so training is slow`, 'Use a processor with AVX2 or AVX-512.')
      : ok(text);
  } catch (error) {
    return fail(`cannot be loaded: ${reason(error)}`, 'Build them with: npm run setup');
  }
}

/** Bytes of the machine, or of the container that limits it. */
export function lookAtMemory(total: number, free: number): Finding {
  const limit = process.constrainedMemory();
  const bytes = limit > 0 && limit < total ? limit : total;
  const text = `${formatBytes(bytes)}, ${formatBytes(Math.min(free, bytes))} of it free`;
  if (bytes < 1.5e9) return fail(text, 'The database, the API and a small training need about 2 GB.');
  if (bytes < 4e9) return warn(text, 'Enough for small base models only.');
  return ok(text);
}

async function lookAtDisk({ dataDir }: Config): Promise<Finding> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = await statfs(dataDir);
    const free = bavail * bsize;
    const text = `${formatBytes(free)} free at ${dataDir}`;
    if (free < 1e9) return fail(text, 'Free some space, or set LOWRANK_DATA to a folder on another disk.');
    if (free < 10e9) return warn(text, 'Base models, checkpoints and adapters will soon need more.');
    return ok(text);
  } catch (error) {
    return fail(`${dataDir} cannot be used: ${reason(error)}`, 'Set LOWRANK_DATA to a folder you may write.');
  }
}

async function lookAtPostgres({ databaseUrl }: Config): Promise<Finding> {
  if (databaseUrl === null) return ok('embedded: "lowrank up" starts it');
  const unitOfWork = createUnitOfWork(databaseUrl, { max: 1 });
  try {
    await withTimeout(unitOfWork.ping());
    return ok(`answers at ${hostOf(databaseUrl)}`);
  } catch (error) {
    return fail(`${hostOf(databaseUrl)}: ${reason(error)}`, 'Start it, or correct DATABASE_URL.');
  } finally {
    await unitOfWork.close().catch(() => undefined);
  }
}

async function lookAtQueue({ redis }: Config): Promise<Finding> {
  if (redis === null) return ok('on Postgres');
  const where = `Redis at ${describeRedis(redis)}`;
  try {
    // One of several that answers is enough: it knows the others.
    await Promise.any(serversOf(redis).map(({ host, port }) => reach(host, port)));
    return ok(`${where} is reachable`);
  } catch (error) {
    return fail(
      `${where}: ${reason(error instanceof AggregateError ? error.errors[0] : error)}`,
      'Start it, correct the REDIS_ variables, or unset them: the queue then runs on Postgres.',
    );
  }
}

function serversOf(redis: RedisConfig): readonly RedisNode[] {
  if (redis.type !== 'single') return redis.type === 'cluster' ? redis.nodes : redis.sentinels;
  const { hostname, port } = new URL(redis.url);
  return [{ host: hostname, port: Number(port) || 6379 }];
}

async function lookAtObjects({ s3, dataDir }: Config): Promise<Finding> {
  const folder = join(dataDir, 'objects');
  const where =
    s3 === null ? `folder ${folder}` : `S3 at ${s3.endpoint ?? `AWS ${s3.region}`}, bucket ${s3.bucket}`;
  try {
    await withTimeout(createObjectStore({ s3, folder }).probe());
    return ok(`${where} takes conditional writes`);
  } catch (error) {
    const help =
      s3 === null ? 'Set LOWRANK_DATA to a folder you may write.' : 'Start it, or correct the S3_ variables.';
    return fail(`${where}: ${reason(error)}`, help);
  }
}

async function lookAtServer(config: Config): Promise<Finding> {
  const running = findRunning(config.dataDir);
  const url = running?.url ?? `http://${urlHost(config.host)}:${config.port}`;
  const keyFile = adminKeyFile(config.dataDir);
  const key =
    process.env.LOWRANK_API_KEY ?? (existsSync(keyFile) ? readFileSync(keyFile, 'utf8').trim() : null);
  const api = new Api(url, key);
  if (await api.healthy()) {
    if (key === null) return warn(`answers at ${url}, but there is no API key here`, 'Set LOWRANK_API_KEY.');
    try {
      await api.me();
      return ok(`answers at ${url} and knows the API key`);
    } catch (error) {
      return fail(`answers at ${url}: ${reason(error)}`, 'Set LOWRANK_API_KEY to a key of this server.');
    }
  }
  if (running !== null) return warn(`${url} (process ${running.pid}) does not answer`, 'Look at its logs.');
  if (await isFree(config.host, config.port)) return ok(`not running; port ${config.port} is free`);
  return warn(
    `port ${config.port} is in use by another program`,
    'Set LOWRANK_PORT, or let "lowrank up" take the next free one.',
  );
}

/** `host:port` of a URL, without the credentials in it. */
const hostOf = (url: string): string => new URL(url).host;

function reach(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host, port, timeout: timeoutMs });
    socket.once('connect', () => resolve(void socket.destroy()));
    socket.once('timeout', () => socket.destroy(new Error(`no answer in ${timeoutMs} ms`)));
    socket.once('error', reject);
  });
}

function withTimeout<T>(work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
