import { Bell, type News } from '@lowrank/domain';
import { Client } from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { translated } from './errors';
import { channelOf } from './news';

/** How often the lock's connection is tried, and how long an answer may take, before it counts as lost. */
const beatMs = 2_000;
const answerWithinMs = 10_000;
/**
 * Postgres ends a session that asked nothing for this long. Some beats: a process that is frozen keeps its connection, whose packets the
 * kernel goes on answering, and would keep the lock.
 */
const silentForMs = 6_000;

/** Waits until nobody holds the lock alone; the client does not wait for ever for an answer. */
async function takeShared(client: Client, name: string): Promise<boolean> {
  try {
    await client.connect();
    await client.query('SELECT pg_advisory_lock_shared(hashtextextended($1, 0))', [`lowrank:${name}`]);
    return true;
  } catch (error) {
    throw translated(error);
  }
}

async function take(client: Client, name: string): Promise<boolean> {
  try {
    await client.connect();
    const { rows } = await client.query<{ held: boolean }>(
      'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS held',
      [`lowrank:${name}`],
    );
    if (rows[0]?.held !== true) return false;
    await client.query(`LISTEN ${client.escapeIdentifier(channelOf(name))}`);
    return true;
  } catch (error) {
    throw translated(error);
  }
}

/**
 * Runs `work` while a session of its own holds the advisory lock of that name; resolves to undefined at once when another session
 * has it. The signal is aborted when the session is lost, and the lock with it: somebody else may hold it from then on. The session also
 * listens to the news for the lock's holder, so there is no second connection to watch.
 * What `work` throws is passed on as it is. Error: store_unavailable when the database does not answer.
 */
export const withAdvisoryLock = <T>(
  databaseUrl: string,
  name: string,
  work: (lost: AbortSignal, news: News) => Promise<T>,
): Promise<T | undefined> => holding(databaseUrl, name, take, work);

/** The same while a session of its own shares the lock, once nobody holds it alone. Error: store_unavailable, also when that takes too long. */
export const sharingAdvisoryLock = <T>(
  databaseUrl: string,
  name: string,
  work: (lost: AbortSignal) => Promise<T>,
): Promise<T> => holding(databaseUrl, name, takeShared, work) as Promise<T>;

async function holding<T>(
  databaseUrl: string,
  name: string,
  taking: (client: Client, name: string) => Promise<boolean>,
  work: (lost: AbortSignal, news: News) => Promise<T>,
): Promise<T | undefined> {
  const lost = new AbortController();
  const over = new AbortController();
  const client = new Client({
    connectionString: databaseUrl,
    application_name: `lowrank lock ${name}`.slice(0, 63),
    connectionTimeoutMillis: answerWithinMs,
    query_timeout: answerWithinMs,
    keepAlive: true,
    options: `-c idle_session_timeout=${silentForMs}`,
  });
  const news = new Bell();
  client.on('notification', () => news.ring());
  client.on('error', (error) => lost.abort(error));
  client.on('end', () => lost.abort(new Error('the connection ended')));
  try {
    if (!(await taking(client, name))) return undefined;
    // A network that swallows packets ends no connection; only an answer that is late tells.
    const beating = (async () => {
      while (!over.signal.aborted && !lost.signal.aborted) {
        await sleep(beatMs, undefined, { signal: over.signal, ref: false }).catch(() => undefined);
        if (!over.signal.aborted) await client.query('SELECT 1').catch((error) => lost.abort(error));
      }
    })();
    try {
      return await work(lost.signal, news);
    } finally {
      over.abort();
      await beating;
    }
  } finally {
    // Ends the session, and the lock with it.
    await client.end().catch(() => undefined);
  }
}
