import { codeOf, testDatabase } from '@lowrank/testing';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { migrate, migrationsFolder } from './migrate';

let url: string;
let drop: () => Promise<void>;
let client: Client;
let folder: string;

beforeEach(async () => {
  ({ url, drop } = await testDatabase());
  client = new Client({ connectionString: url });
  await client.connect();
  await client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
  folder = await mkdtemp(join(tmpdir(), 'lowrank-migrations-'));
  await writeFile(join(folder, 'migration_lock.toml'), 'provider = "postgresql"');
});
afterEach(async () => {
  await client.end();
  await drop();
  await rm(folder, { recursive: true });
});

const write = async (name: string, sql: string) => {
  await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, name, 'migration.sql'), sql);
};
const rows = async (sql: string) => (await client.query(sql)).rows;
const recorded = () =>
  rows('SELECT migration_name FROM _prisma_migrations ORDER BY started_at, migration_name').then((found) =>
    found.map((row) => row.migration_name),
  );

it('applies all in order of name, and nothing the second time', async () => {
  await write('20260102_second', 'INSERT INTO words VALUES (2)');
  await write('20260101_first', 'CREATE TABLE words (n integer); INSERT INTO words VALUES (1);');
  expect(await migrate(url, folder)).toEqual(['20260101_first', '20260102_second']);
  expect(await migrate(url, folder)).toEqual([]);
  await write('20260103_third', 'INSERT INTO words VALUES (3)');
  expect(await migrate(url, folder)).toEqual(['20260103_third']);
  expect(await rows('SELECT n FROM words')).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
});

it("applies this version's own to an empty database", async () => {
  const entries = await readdir(migrationsFolder(), { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  expect(await migrate(url)).toEqual(names.sort());
  expect(await migrate(url)).toEqual([]);
});

it('tells a user who may not make the role for row-level security what an administrator is to do', async () => {
  const plain = new URL(url);
  plain.username = `plain_${plain.pathname.slice(-16)}`;
  plain.password = 'plain';
  await client.query(`CREATE ROLE ${plain.username} LOGIN PASSWORD 'plain';
    GRANT ALL ON SCHEMA public TO ${plain.username}`);
  try {
    await expect(migrate(plain.href)).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('may not make the role lowrank_api'),
      help: expect.stringContaining(`GRANT lowrank_api TO ${plain.username}`),
    });
    await client.query(`GRANT lowrank_api TO ${plain.username}`);
    expect(await migrate(plain.href)).toContain('20261126141000_row_level_security');
  } finally {
    await client.query(`DROP OWNED BY ${plain.username}; DROP ROLE ${plain.username}`);
  }
});

it('lets processes that start at once take turns', async () => {
  await write('20260101_slow', 'CREATE TABLE once (n integer); SELECT pg_sleep(0.2);');
  const applied = await Promise.all([1, 2, 3, 4].map(() => migrate(url, folder)));
  expect(applied.sort((a, b) => a.length - b.length)).toEqual([[], [], [], ['20260101_slow']]);
  expect(await recorded()).toEqual(['20260101_slow']);
});

it('leaves nothing of one that fails, keeps those before it, and goes on once it is corrected', async () => {
  await write('20260101_good', 'CREATE TABLE kept (n integer)');
  await write('20260102_bad', 'CREATE TABLE half (n integer); INSERT INTO half VALUES (1); SELECT 1 / 0;');
  await write('20260103_after', 'CREATE TABLE after_it (n integer)');
  await expect(migrate(url, folder)).rejects.toMatchObject({
    code: 'internal',
    message: expect.stringMatching(/20260102_bad.*division by zero/),
  });
  expect(await recorded()).toEqual(['20260101_good']);
  const tables = `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ '^_' ORDER BY 1`;
  expect(await rows(tables)).toEqual([{ tablename: 'kept' }]);
  await write('20260102_bad', 'CREATE TABLE half (n integer)');
  expect(await migrate(url, folder)).toEqual(['20260102_bad', '20260103_after']);
});

it('does not record one that ends its own transaction and fails', async () => {
  await write('20260101_sly', 'CREATE TABLE half (n integer); COMMIT; SELECT 1 / 0;');
  expect(await codeOf(migrate(url, folder))).toBe('internal');
  expect(await recorded()).toEqual([]);
});

it('refuses one that was changed after it had been applied, and applies none behind it', async () => {
  await write('20260101_first', 'CREATE TABLE a (n integer)');
  await migrate(url, folder);
  await write('20260101_first', 'CREATE TABLE a (n bigint)');
  await write('20260102_second', 'CREATE TABLE b (n integer)');
  await expect(migrate(url, folder)).rejects.toMatchObject({
    code: 'internal',
    message: expect.stringContaining('20260101_first was changed'),
    help: expect.stringContaining('new migration'),
  });
  expect(await recorded()).toEqual(['20260101_first']);
});

it('refuses a database of a newer version', async () => {
  await write('20260101_first', 'CREATE TABLE a (n integer)');
  await write('20990101_future', 'CREATE TABLE b (n integer)');
  await migrate(url, folder);
  await rm(join(folder, '20990101_future'), { recursive: true });
  await expect(migrate(url, folder)).rejects.toMatchObject({
    message: expect.stringContaining('20990101_future'),
    help: expect.stringContaining('newer version'),
  });
});

describe("Prisma's table", () => {
  // As Prisma makes it: schema-engine/connectors/sql-schema-connector/src/flavour/postgres of prisma/prisma-engines.
  const prismas = `CREATE TABLE _prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`;
  const columns = () =>
    rows(`SELECT column_name, udt_name, character_maximum_length, is_nullable, column_default
          FROM information_schema.columns WHERE table_name = '_prisma_migrations' ORDER BY ordinal_position`);
  const record = (name: string, fields: string) =>
    client.query(`INSERT INTO _prisma_migrations (id, migration_name, checksum, finished_at, rolled_back_at)
                  VALUES (gen_random_uuid(), '${name}', ${fields})`);

  it('is the same as ours, with the checksum of the file', async () => {
    await client.query(prismas);
    const theirs = await columns();
    await client.query('DROP TABLE _prisma_migrations');
    await write('20260101_first', 'SELECT 1; -- ä');
    await migrate(url, folder);
    expect(await columns()).toEqual(theirs);
    const sha256 = createHash('sha256').update('SELECT 1; -- ä').digest('hex');
    expect(await rows('SELECT * FROM _prisma_migrations')).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        checksum: sha256,
        finished_at: expect.any(Date),
        migration_name: '20260101_first',
        logs: null,
        rolled_back_at: null,
        started_at: expect.any(Date),
        applied_steps_count: 1,
      },
    ]);
  });

  it('is read: what Prisma has applied is not applied again, what it rolled back is', async () => {
    await client.query(prismas);
    await write('20260101_first', 'CREATE TABLE a (n integer)');
    await write('20260102_second', 'CREATE TABLE b (n integer)');
    const sha256 = createHash('sha256').update('CREATE TABLE a (n integer)').digest('hex');
    await record('20260101_first', `'${sha256}', now(), NULL`);
    await record('20260102_second', `'an earlier try', NULL, now()`);
    expect(await migrate(url, folder)).toEqual(['20260102_second']);
  });

  it('is read: what failed halfway under Prisma is refused', async () => {
    await client.query(prismas);
    await write('20260101_first', 'CREATE TABLE a (n integer)');
    const sha256 = createHash('sha256').update('CREATE TABLE a (n integer)').digest('hex');
    await record('20260101_first', `'${sha256}', NULL, NULL`);
    await expect(migrate(url, folder)).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('20260101_first'),
    });
  });
});
