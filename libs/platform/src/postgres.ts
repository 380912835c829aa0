import { LowrankError } from '@lowrank/contracts';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, openSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { findPostgresBinaries, withoutRoot } from './postgres-binaries';

const run = promisify(execFile);
const user = 'lowrank';
const database = 'lowrank';
const startWithinMs = 60_000;
const stopWithinMs = 30_000;

export interface EmbeddedPostgres {
  /** Connection string of the database that Lowrank uses, password included. */
  url: string;
  pid: number;
  /** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
  stop(): Promise<void>;
}

export interface PostgresOptions {
  /** Everything is kept below `<dataDir>/postgres`. */
  dataDir: string;
  /** Default: a free one, another at each start. */
  port?: number;
  /** Server settings on top of ours, e.g. `{ fsync: 'off' }` in tests. */
  settings?: Record<string, string>;
}

/**
 * Starts the embedded Postgres on the loopback interface and resolves when it takes connections. Makes the cluster and a random
 * password at the first start. A server left over from a killed process on the same folder is stopped first.
 * Errors: LowrankError internal with the end of the server's log.
 */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const binaries = findPostgresBinaries();
  const home = join(options.dataDir, 'postgres');
  const cluster = join(home, 'cluster');
  await mkdir(home, { recursive: true, mode: 0o700 });
  const password = await keepPassword(join(home, 'password'));
  if (!existsSync(join(cluster, 'PG_VERSION')))
    await makeCluster(binaries.initdb, cluster, join(home, 'password'));
  await stopLeftover(cluster);

  const port = options.port ?? (await freePort());
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    shared_buffers: '64MB',
    max_connections: '120',
    ...options.settings,
  };
  const logFile = join(home, 'server.log');
  const log = openSync(logFile, 'a', 0o600);
  const [command, args] = withoutRoot(binaries.postgres, [
    '-D',
    cluster,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]);
  // In a process group of its own, so that Ctrl-C in the terminal leaves the order of shutdown to us.
  const server = spawn(command, args, { stdio: ['ignore', log, log], detached: true });
  const url = (name: string) => `postgres://${user}:${password}@127.0.0.1:${port}/${name}`;
  try {
    await untilReady(server, url('postgres'), logFile);
    await ensureDatabase(url('postgres'));
  } catch (error) {
    await end(server);
    throw error;
  }
  // The server must not keep a process alive that has forgotten to stop it.
  server.unref();
  return { url: url(database), pid: server.pid!, stop: () => end(server) };
}

/** 192 random bits in hexadecimal, made once; whole or not there. */
async function keepPassword(file: string): Promise<string> {
  if (existsSync(file)) return (await readFile(file, 'utf8')).trim();
  const password = randomBytes(24).toString('hex');
  await writeFile(`${file}.tmp`, `${password}\n`, { mode: 0o600 });
  await rename(`${file}.tmp`, file);
  return password;
}

/** initdb into a folder aside, then renamed: a cluster is whole or not there. */
async function makeCluster(initdb: string, cluster: string, passwordFile: string): Promise<void> {
  const aside = `${cluster}.tmp`;
  await rm(aside, { recursive: true, force: true });
  const [command, args] = withoutRoot(initdb, [
    `--pgdata=${aside}`,
    `--username=${user}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
  ]);
  try {
    await run(command, args);
  } catch (cause) {
    throw new LowrankError('internal', `PostgreSQL's initdb failed: ${outputOf(cause)}`, undefined, {
      cause,
    });
  }
  await rename(aside, cluster);
}

const outputOf = (error: unknown): string =>
  error instanceof Error
    ? ('stderr' in error && String(error.stderr).trim()) || error.message
    : String(error);

/** Stops a server that still runs on this cluster. Its pid file alone proves nothing: the number may be another program's by now. */
async function stopLeftover(cluster: string): Promise<void> {
  const pidFile = join(cluster, 'postmaster.pid');
  const pid = Number((await readFile(pidFile, 'utf8').catch(() => '')).split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 0) return;
  const commandLine = await run('ps', ['-o', 'args=', '-p', String(pid)]).then(
    ({ stdout }) => stdout,
    () => '',
  );
  if (!commandLine.includes(cluster)) {
    // Postgres itself would take any living process of that number for its server, and refuse to start.
    if (commandLine !== '' && !commandLine.includes('postgres')) await rm(pidFile, { force: true });
    return;
  }
  process.kill(pid, 'SIGINT');
  for (const deadline = Date.now() + stopWithinMs; isAlive(pid); await sleep(50)) {
    if (Date.now() > deadline) process.kill(pid, 'SIGQUIT');
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

async function untilReady(server: ChildProcess, url: string, logFile: string): Promise<void> {
  let failure: string | null = null;
  server.once('error', (error) => (failure = error.message));
  server.once('exit', (code, signal) => (failure ??= `it ended with ${signal ?? `exit code ${code}`}`));
  for (const deadline = Date.now() + startWithinMs; ; await sleep(30)) {
    if (failure !== null || Date.now() > deadline) {
      const tail = await endOf(logFile);
      throw new LowrankError(
        'internal',
        `The embedded PostgreSQL did not start: ${failure ?? 'no answer'}.\n${tail}`,
      );
    }
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
    client.on('error', () => {});
    const answered = await client.connect().then(
      () => true,
      () => false,
    );
    await client.end().catch(() => {});
    if (answered) return;
  }
}

/** The last 2 KiB of a file. */
async function endOf(file: string): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, 2048);
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString('utf8').trim();
  } finally {
    await handle.close();
  }
}

async function ensureDatabase(url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${database}`);
  } finally {
    await client.end();
  }
}

async function end(server: ChildProcess): Promise<void> {
  if (server.pid === undefined || server.exitCode !== null || server.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  server.kill('SIGINT');
  const late = setTimeout(() => server.kill('SIGQUIT'), stopWithinMs);
  await exited;
  clearTimeout(late);
}
