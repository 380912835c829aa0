import { LowrankError } from '@lowrank/contracts';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Client } from 'pg';

/** Any number that is the same everywhere: two processes that migrate at once take turns. */
const advisoryLock = 7_380_001;

interface Migration {
  name: string;
  sql: string;
  sha256: string;
}

/** `prisma/migrations` of this installation, found upward from here: sources and compiled files lie at different depths. */
export function migrationsFolder(): string {
  for (let folder = __dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const candidate = join(folder, 'prisma', 'migrations');
    if (existsSync(candidate)) return candidate;
  }
  throw new LowrankError('internal', 'The folder prisma/migrations is missing.');
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const sql = await readFile(join(folder, name, 'migration.sql'), 'utf8');
      return { name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/**
 * Brings a database up to date: every migration in order of name, each in one transaction with its record in Prisma's
 * `_prisma_migrations` table. Resolves to the names that were applied now. Concurrent calls take turns.
 * So no index is built CONCURRENTLY, which no transaction may: one on 100,000 jobs, such as that of their states, takes some 0.3 s, in which
 * they can be read and not written. What would take longer has to become a step of its own.
 * Errors: LowrankError internal when an applied migration differs from its file, is unknown here or half applied, or a statement fails.
 */
export async function migrate(databaseUrl: string, folder = migrationsFolder()): Promise<string[]> {
  const migrations = await readMigrations(folder);
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [advisoryLock]);
    const applied = await readApplied(client);
    refuseStrangers(applied, migrations);
    const fresh = migrations.filter(({ name }) => !applied.has(name));
    for (const migration of fresh) await apply(client, migration);
    return fresh.map(({ name }) => name);
  } finally {
    // Ends the session, and the lock with it.
    await client.end();
  }
}

async function readApplied(client: Client): Promise<Map<string, string>> {
  await client.query(`CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id varchar(36) PRIMARY KEY,
    checksum varchar(64) NOT NULL,
    finished_at timestamptz,
    migration_name varchar(255) NOT NULL,
    logs text,
    rolled_back_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(),
    applied_steps_count integer NOT NULL DEFAULT 0
  )`);
  const { rows } = await client.query<{ migration_name: string; checksum: string; finished: boolean }>(
    `SELECT migration_name, checksum, finished_at IS NOT NULL AS finished
     FROM _prisma_migrations WHERE rolled_back_at IS NULL`,
  );
  const half = rows.find((row) => !row.finished);
  if (half)
    throw new LowrankError('internal', `Migration ${half.migration_name} failed halfway.`, undefined, {
      help: 'Ours leave no such record, Prisma does: undo by hand what it did, then run "prisma migrate resolve".',
    });
  return new Map(rows.map((row) => [row.migration_name, row.checksum]));
}

function refuseStrangers(applied: Map<string, string>, migrations: Migration[]): void {
  const known = new Map(migrations.map(({ name, sha256 }) => [name, sha256]));
  for (const [name, checksum] of applied) {
    if (!known.has(name)) {
      throw new LowrankError(
        'internal',
        `The database has migration ${name}, which this version does not know.`,
        undefined,
        {
          help: 'Run the newer version of Lowrank that made it, or restore a backup from before.',
        },
      );
    }
    if (known.get(name) !== checksum) {
      throw new LowrankError(
        'internal',
        `Migration ${name} was changed after it had been applied.`,
        undefined,
        {
          help: 'Restore the file as it was; put changes into a new migration.',
        },
      );
    }
  }
}

async function apply(client: Client, { name, sql, sha256 }: Migration): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(sql);
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count)
       VALUES ($1, $2, now(), $3, 1)`,
      [randomUUID(), sha256, name],
    );
    await client.query('COMMIT');
  } catch (cause) {
    await client.query('ROLLBACK');
    const reason = cause instanceof Error ? cause.message : String(cause);
    const { hint } = cause as { hint?: string };
    throw new LowrankError('internal', `Migration ${name} failed and was rolled back: ${reason}`, undefined, {
      cause,
      help: hint,
    });
  }
}
