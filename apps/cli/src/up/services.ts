import { type Config } from '@lowrank/config';
import { ensureAdminKey, migrate, startPostgres } from '@lowrank/platform';
import { createUnitOfWork } from '@lowrank/db';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Api } from '../client/api';
import { adminKeyFile, findRunning, runningFile, urlHost } from '../connect';
import { CliError } from '../errors';
import { note, paint } from '../terminal';
import { SupervisedChild } from './child';
import { anyFreePort, firstFreePort, isFree } from './port';

/** Where compile puts the programs, seen from this file in dist/. */
const apps = resolve(__dirname, '../../..');
const readyWithinMs = 60_000;

/** A whole Lowrank on this machine, as `lowrank up` runs it. */
export interface Services {
  url: string;
  /** The admin key kept in the data folder; null when it was made elsewhere. */
  key: string | null;
  /** The same key, if this start made it. */
  newKey: string | null;
  logDir: string;
  /** Stops everything in order: API, server, worker (which writes checkpoints), Postgres. Calling it again waits for the first call. */
  stop(): Promise<void>;
}

export interface ServicesOptions {
  /** Show the services' log lines as well as writing them to files. */
  showLogs: boolean;
  /** LOWRANK_PORT was set, so no other port will do. */
  portIsFixed: boolean;
}

/**
 * Starts Postgres (unless one is configured), brings its tables up to date, and starts API, server and worker, which are started again when
 * they crash. Resolves when the API answers. Errors: CliError saying what is in the way; nothing is left running then.
 */
export async function startServices(config: Config, options: ServicesOptions): Promise<Services> {
  const { dataDir } = config;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  refuseSecond(dataDir);
  const port = await choosePort(config, options.portIsFixed);
  const url = `http://${urlHost(config.host)}:${port}`;
  const logDir = join(dataDir, 'logs');
  const stops: (() => Promise<void>)[] = [];
  let stopped: Promise<void> | null = null;
  const stop = () => (stopped ??= stopAll(stops));
  try {
    // Claims the data folder before anything in it is started.
    await writeFile(runningFile(dataDir), JSON.stringify({ pid: process.pid, url }), { mode: 0o600 });
    stops.push(() => rm(runningFile(dataDir), { force: true }));

    const databaseUrl = config.databaseUrl ?? (await embeddedPostgres(dataDir, stops));
    const newKey = await prepareDatabase(databaseUrl, dataDir);

    const servePort = await anyFreePort('127.0.0.1');
    const env = {
      ...process.env,
      LOWRANK_DATA: dataDir,
      LOWRANK_PORT: String(port),
      // Its default depends on DATABASE_URL being unset, which it no longer is.
      LOWRANK_IMPORT_ROOTS: config.importRoots.join(':'),
      DATABASE_URL: databaseUrl,
      // The server is for the API alone: it listens on loopback, and nobody else knows its secret.
      LOWRANK_SERVE_URLS: `http://127.0.0.1:${servePort}`,
      LOWRANK_SERVE_HOST: '127.0.0.1',
      LOWRANK_SERVE_PORT: String(servePort),
      LOWRANK_SERVE_TOKEN: randomBytes(32).toString('hex'),
    };
    for (const [name, graceMs] of [
      ['worker', 75_000],
      ['serve', 30_000],
      ['api', 10_000],
    ] as const) {
      const child = new SupervisedChild({
        name,
        entry: join(apps, name, 'src', 'main.js'),
        env,
        logFile: join(logDir, `${name}.log`),
        graceMs,
        onLine: options.showLogs ? (line) => note(`${paint('dim', name.padEnd(6))} ${line}`) : undefined,
        onCrash: (how, tail, pauseMs) =>
          note([`${how}; starting it again in ${pauseMs / 1000} s. Its last lines:`, ...tail].join('\n  ')),
      });
      stops.push(() => child.stop());
      await child.start();
    }
    await untilReady(url, logDir);
    const key = await readFile(adminKeyFile(dataDir), 'utf8').then(
      (text) => text.trim(),
      () => null,
    );
    return { url, key, newKey, logDir, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function refuseSecond(dataDir: string): void {
  const running = findRunning(dataDir);
  if (running === null || running.pid === process.pid) return;
  throw new CliError(`Lowrank already runs on ${dataDir}: ${running.url} (process ${running.pid})`, {
    help: 'Use that one, stop it first, or set LOWRANK_DATA to another folder.',
  });
}

async function choosePort({ host, port }: Config, fixed: boolean): Promise<number> {
  if (port === 0) return anyFreePort(host);
  if (await isFree(host, port)) return port;
  const other = fixed ? null : await firstFreePort(host, port + 1);
  if (other === null) {
    throw new CliError(`port ${port} on ${host} is in use`, {
      help: 'Stop what listens there, or set LOWRANK_PORT to another port.',
    });
  }
  note(`Port ${port} is in use by another program; using ${other}.`);
  return other;
}

async function embeddedPostgres(dataDir: string, stops: (() => Promise<void>)[]): Promise<string> {
  const postgres = await startPostgres({ dataDir });
  stops.push(() => postgres.stop());
  return postgres.url;
}

/** Brings the tables up to date and makes the first admin key; resolves to its secret if that happened now. */
export async function prepareDatabase(databaseUrl: string, dataDir: string): Promise<string | null> {
  await migrate(databaseUrl);
  const unitOfWork = createUnitOfWork(databaseUrl, { max: 2 });
  try {
    return (await ensureAdminKey(unitOfWork, dataDir)).secret;
  } finally {
    await unitOfWork.close();
  }
}

/** A crash on the way up is reported by onCrash; what never comes up is reported here. */
async function untilReady(url: string, logDir: string): Promise<void> {
  const api = new Api(url, null);
  const giveUpAt = Date.now() + readyWithinMs;
  while (!(await api.healthy())) {
    if (Date.now() > giveUpAt) {
      throw new CliError(`the API did not come up in ${readyWithinMs / 1000} s`, {
        help: `Look at ${join(logDir, 'api.log')}.`,
      });
    }
    await sleep(100);
  }
}

/** Last started, first stopped; one that fails does not keep the others running. */
async function stopAll(stops: (() => Promise<void>)[]): Promise<void> {
  for (const stop of stops.reverse()) {
    await stop().catch((error) => note(`While stopping: ${error instanceof Error ? error.message : error}`));
  }
}
