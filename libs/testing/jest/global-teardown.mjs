import { basename } from 'node:path';
import pg from 'pg';
import { removeRun } from './run-folder.mjs';

export default async function globalTeardown() {
  const folder = process.env.LOWRANK_TEST_RUN;
  const server = process.env.TEST_DATABASE_URL;
  if (server) {
    const client = new pg.Client({ connectionString: server });
    await client.connect();
    await client.query(`DROP DATABASE IF EXISTS "${basename(folder)}"`);
    await client.end();
  }
  await removeRun(folder);
}
