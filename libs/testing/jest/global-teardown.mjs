import { basename } from 'node:path';
import pg from 'pg';
import { removeRun } from './run-folder.mjs';

export default async function globalTeardown() {
  const folder = process.env.LOWRANK_TEST_RUN;
  const server = process.env.TEST_DATABASE_URL;
  if (server) {
    const client = new pg.Client({ connectionString: server });
    await client.connect();
    const name = basename(folder);
    // A template cannot be dropped as such; a run without a database test has none.
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
    if (rowCount) await client.query(`ALTER DATABASE "${name}" IS_TEMPLATE false`);
    await client.query(`DROP DATABASE IF EXISTS "${name}"`);
    await client.end();
  }
  await removeRun(folder);
}
