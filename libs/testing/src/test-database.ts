import { migrate, startPostgres } from '@lowrank/platform';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, readFile, rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Pool } from 'pg';

export interface TestDatabase {
  url: string;
  /** Rows of a statement, run by the database's owner. */
  sql<Row>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Removes the database, whoever is still connected. */
  drop(): Promise<void>;
}

const serverWithinMs = 25_000;

/**
 * A database of its own with all migrations applied, in some tens of milliseconds: a copy of a template that is made once per Jest
 * run. It lies on the server of TEST_DATABASE_URL when that is set, else on an embedded Postgres that the run's first caller
 * starts and that ends with the run (libs/testing/jest).
 */
export async function testDatabase(): Promise<TestDatabase> {
  const server = process.env.TEST_DATABASE_URL || (await serverOfRun());
  const template = await ensureTemplate(server);
  const name = `lowrank_test_${randomBytes(8).toString('hex')}`;
  await execute(server, `CREATE DATABASE "${name}" TEMPLATE "${template}"`);
  const url = databaseOn(server, name);
  // Some tests ask hundreds of times, and a new connection takes longer than what most of them ask for.
  const pool = new Pool({ connectionString: url, max: 2, allowExitOnIdle: true });
  // Tests may cut any connection; the next statement makes another.
  pool.on('error', () => undefined);
  return {
    url,
    sql: async <Row>(text: string, values?: unknown[]) => (await pool.query(text, values)).rows as Row[],
    drop: async () => {
      await pool.end();
      await execute(server, `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
    },
  };
}

function runFolder(): string {
  const folder = process.env.LOWRANK_TEST_RUN;
  if (!folder) throw new Error('LOWRANK_TEST_RUN is not set: libs/testing/jest/global-setup.mjs has not run');
  return folder;
}

/** URL of the run's Postgres. Of the processes that run tests, the one that makes the file `starting` starts it. */
async function serverOfRun(): Promise<string> {
  const folder = runFolder();
  const urlFile = join(folder, 'server.url');
  if (await createExclusively(join(folder, 'starting'))) {
    // Nothing in it needs to survive a power cut, or lives long enough to be vacuumed.
    const settings = {
      ...{ fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' },
      ...{ wal_level: 'minimal', max_wal_senders: '0', checkpoint_timeout: '1h' },
      ...{ autovacuum: 'off', max_connections: '250' },
    };
    const { url, pid } = await startPostgres({ dataDir: folder, settings });
    await writeFile(join(folder, 'server.pid'), String(pid));
    await writeFile(`${urlFile}.partial`, url);
    await rename(`${urlFile}.partial`, urlFile);
  }
  for (const end = Date.now() + serverWithinMs; !existsSync(urlFile); await sleep(20)) {
    if (Date.now() > end) throw new Error(`no Postgres within ${serverWithinMs} ms in ${folder}`);
  }
  return readFile(urlFile, 'utf8');
}

/** Makes the run's template unless another process has; Postgres keeps the callers apart. */
async function ensureTemplate(server: string): Promise<string> {
  const name = basename(runFolder());
  const client = new Client({ connectionString: server });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [name]);
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate', [
      name,
    ]);
    if (found.rowCount === 0) {
      await client.query(`DROP DATABASE IF EXISTS "${name}"`);
      await client.query(`CREATE DATABASE "${name}"`);
      await migrate(databaseOn(server, name));
      // The mark says that it is whole.
      await client.query('UPDATE pg_database SET datistemplate = true WHERE datname = $1', [name]);
    }
    return name;
  } finally {
    await client.end();
  }
}

async function createExclusively(file: string): Promise<boolean> {
  try {
    await (await open(file, 'wx')).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function databaseOn(server: string, name: string): string {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

async function execute(server: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: server });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
