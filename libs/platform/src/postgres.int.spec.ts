import { createUnitOfWork } from '@lowrank/db';
import { codeOf } from '@lowrank/testing';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { migrate } from './migrate';
import { type EmbeddedPostgres, startPostgres } from './postgres';

const run = promisify(execFile);
// A power cut is not among what is tried here; a kill is, and does not lose what the system has taken.
const settings = { fsync: 'off' };

let dataDir: string;
const started: EmbeddedPostgres[] = [];
const start = async (options: { port?: number; settings?: Record<string, string> } = {}) => {
  const server = await startPostgres({ dataDir, ...options, settings: { ...settings, ...options.settings } });
  started.push(server);
  return server;
};
const cluster = (file: string) => join(dataDir, 'postgres/cluster', file);
const logged = () => readFile(join(dataDir, 'postgres/server.log'), 'utf8');

async function query<Row extends object>(url: string, sql: string): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}
const answers = (url: string) => query(url, 'SELECT 1').then(Boolean, () => false);
const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'lowrank-postgres-'));
});
afterEach(() => Promise.all(started.splice(0).map((server) => server.stop())));
afterAll(() => rm(dataDir, { recursive: true }));

it('makes a cluster at the first start, with a password of its own', async () => {
  const { url, pid } = await start();
  expect(await query(url, 'SELECT current_database() AS name, current_user AS me')).toEqual([
    { name: 'lowrank', me: 'lowrank' },
  ]);
  expect(isAlive(pid)).toBe(true);
  const { password } = new URL(url);
  expect(password).toMatch(/^[0-9a-f]{48}$/);
  expect(await answers(url.replace(password, 'f'.repeat(48)))).toBe(false);
  expect(await answers(url.replace(`:${password}`, ''))).toBe(false);
  expect((await stat(join(dataDir, 'postgres/password'))).mode & 0o777).toBe(0o600);
  expect((await stat(join(dataDir, 'postgres'))).mode & 0o777).toBe(0o700);
});

it('is brought up to date by a user who is no superuser and may make roles (PostgreSQL 16 and later grant less to such a user)', async () => {
  const { url } = await start();
  const role = `SELECT FROM pg_roles WHERE rolname = 'lowrank_api'`;
  expect(await query(url, role)).toEqual([]);
  await query(url, `CREATE ROLE maker LOGIN CREATEROLE PASSWORD 'maker'`);
  await query(url, 'CREATE DATABASE made OWNER maker');
  const made = Object.assign(new URL(url), { username: 'maker', password: 'maker', pathname: '/made' }).href;
  await migrate(made);
  await query(made, `INSERT INTO teams (id, name) VALUES ('team_a', 'a'), ('team_b', 'b')`);
  const ofA = `BEGIN; SET LOCAL ROLE lowrank_api; SET LOCAL lowrank.team_id = 'team_a'; CREATE TEMP TABLE seen AS SELECT id FROM teams; COMMIT`;
  const client = new Client({ connectionString: made });
  await client.connect();
  await client.query(ofA);
  expect((await client.query('SELECT id FROM seen')).rows).toEqual([{ id: 'team_a' }]);
  await client.end();

  // An installation of another such user, who has not made the role.
  await query(url, `CREATE ROLE other LOGIN CREATEROLE PASSWORD 'maker'`);
  await query(url, 'CREATE DATABASE others OWNER other');
  const others = made.replace('/made', '/others').replace('maker:', 'other:');
  await expect(migrate(others)).rejects.toMatchObject({
    help: expect.stringContaining('GRANT lowrank_api TO other'),
  });
  await query(url, 'GRANT lowrank_api TO other');
  expect(await migrate(others)).toContain('20261126141000_row_level_security');
  for (const name of ['made', 'others']) await query(url, `DROP DATABASE ${name}`);
  await query(url, 'DROP ROLE other; DROP ROLE maker');
});

it('keeps data and password over a restart, and stops cleanly in the middle of a transaction', async () => {
  const first = await start();
  await query(first.url, 'CREATE TABLE kept (n integer); INSERT INTO kept VALUES (1)');
  const busy = new Client({ connectionString: first.url });
  const cut = new Promise((resolve) => busy.on('error', resolve));
  await busy.connect();
  await busy.query('BEGIN; INSERT INTO kept VALUES (2)');
  await Promise.all([first.stop(), first.stop()]);
  await cut;
  expect(isAlive(first.pid)).toBe(false);
  await expect(stat(cluster('postmaster.pid'))).rejects.toThrow('ENOENT');
  const second = await start();
  expect(new URL(second.url).password).toBe(new URL(first.url).password);
  expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  expect(await logged()).not.toContain('not properly shut down');
});

it('recovers from a kill, with what was committed', async () => {
  const { url, pid } = await start();
  await query(url, 'CREATE TABLE survived AS SELECT 7 AS n');
  process.kill(pid, 'SIGKILL');
  while (await answers(url)) await sleep(20);
  const second = await start();
  expect(await query(second.url, 'SELECT n FROM survived')).toEqual([{ n: 7 }]);
  expect(await logged()).toContain('not properly shut down');
});

describe('a pid file that a crash left', () => {
  let bystander: ChildProcess;
  beforeAll(() => void (bystander = spawn('sleep', ['60'], { stdio: 'ignore' })));
  afterAll(() => bystander.kill('SIGKILL'));

  it.each([
    ['of a process that is gone', () => 2 ** 22 - 7],
    ['whose number another program has by now', () => bystander.pid ?? 0],
  ])('%s does not keep the server from starting', async (_title, pid) => {
    const port = new URL((await start()).url).port;
    await started.pop()?.stop();
    const lines = [pid(), cluster(''), 1700000000, port, '', '127.0.0.1', '', 'ready'];
    await writeFile(cluster('postmaster.pid'), lines.join('\n'));
    expect(await answers((await start()).url)).toBe(true);
    expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
  });
});

it('takes over from a server that still runs on the folder', async () => {
  const first = await start();
  await query(first.url, 'CREATE TABLE handed (n integer)');
  const second = await start();
  expect(isAlive(first.pid)).toBe(false);
  expect(await answers(first.url)).toBe(false);
  expect(await query(second.url, 'SELECT * FROM handed')).toEqual([]);
  await first.stop();
  expect(await answers(second.url)).toBe(true);
});

it('listens on the loopback interface only', async () => {
  const { url } = await start();
  const port = Number(new URL(url).port);
  expect(await query(url, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
  expect(await query(url, 'SHOW unix_socket_directories')).toEqual([{ unix_socket_directories: '' }]);
  const reach = (host: string) =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ port, host, timeout: 2_000 });
      const end = (reached: boolean) => {
        socket.destroy();
        resolve(reached);
      };
      socket
        .once('connect', () => end(true))
        .once('error', () => end(false))
        .once('timeout', () => end(false));
    });
  expect(await reach('127.0.0.1')).toBe(true);
  const outer = Object.values(networkInterfaces()).flatMap((list = []) =>
    list.filter((one) => !one.internal),
  );
  for (const { address } of outer) expect(await reach(address)).toBe(false);
});

it('says why it cannot start, and leaves no process', async () => {
  const taken = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  const port = Number(address && typeof address === 'object' && address.port);
  await expect(start({ port })).rejects.toMatchObject({
    code: 'internal',
    message: expect.stringMatching(/could not bind|in use/i),
  });
  expect(await codeOf(start({ settings: { max_connections: 'many' } }))).toBe('internal');
  await new Promise((resolve) => taken.close(resolve));
  const { stdout } = await run('ps', ['-eo', 'args']);
  expect(stdout).not.toContain(dataDir);
  const { url } = await start({ port });
  expect(new URL(url).port).toBe(String(port));
});

it('serves a unit of work that outlives its restart', async () => {
  const first = await start();
  await migrate(first.url);
  const unitOfWork = createUnitOfWork(first.url);
  const team = await unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('crew'));
  await first.stop();
  expect(await codeOf(unitOfWork.ping())).toBe('store_unavailable');
  expect(await codeOf(unitOfWork.run(({ jobs }) => jobs.placed()))).toBe('store_unavailable');
  await start({ port: Number(new URL(first.url).port) });
  await unitOfWork.ping();
  expect(await unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('crew'))).toBe(team);
  await unitOfWork.close();
});

const asRoot = process.getuid?.() === 0 ? it : it.skip;

asRoot('runs for root in a namespace where it is nobody, with files that are root’s outside', async () => {
  const { pid } = await start();
  const map = (await readFile(`/proc/${pid}/uid_map`, 'utf8')).trim().split(/\s+/);
  expect(map).toEqual(['65534', '0', '1']);
  expect((await stat(cluster('PG_VERSION'))).uid).toBe(0);
});

asRoot('runs for another user as that user', async () => {
  const home = join(dataDir, 'of-nobody');
  await mkdir(home);
  await chown(home, 65534, 65534);
  await chown(dataDir, 65534, 65534);
  const program = `
    const { startPostgres } = require(${JSON.stringify(join(__dirname, 'postgres.ts'))});
    startPostgres({ dataDir: ${JSON.stringify(home)}, settings: ${JSON.stringify(settings)} }).then(async (server) => {
      const { uid } = require('node:fs').statSync('/proc/' + server.pid);
      await server.stop();
      console.log(uid);
    });`;
  const { stdout } = await run(process.execPath, ['-e', program], { uid: 65534, gid: 65534, cwd: home });
  expect(stdout.trim()).toBe('65534');
  expect((await stat(join(home, 'postgres/cluster/PG_VERSION'))).uid).toBe(65534);
});
