// Servers, databases and rows for bench/orchestration.mjs, and helpers that its parts share.
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from '../results.mjs';

const require = createRequire(import.meta.url);
export const dist = (path) => require(join(root, 'dist', path));
const { createUnitOfWork } = dist('libs/db/src/index.js');
const { migrate, startPostgres } = dist('libs/platform/src/index.js');
const { addBaseModel, addDataset, createApiKey, randomIds, submitJob, systemClock } =
  dist('libs/domain/src/index.js');
const { createJobSchema } = dist('libs/contracts/src/index.js');
const { Client } = require('pg');

const sha256 = 'a'.repeat(64);
export const tinyDecoder = {
  ...{ prefix: 'model.', layers: 2, hidden: 32, intermediate: 48, heads: 4, kvHeads: 2, headDim: 8 },
  ...{ tiedEmbeddings: false, fused: false, qkNorms: false, outputNorms: false, ropes: 1 },
  biases: { qkv: false, o: false, mlp: false },
  ...{ dtype: 'F32', quantization: null },
};

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether an emitter gets there before it has an error. */
const happens = (emitter, event) =>
  once(emitter, event).then(
    () => true,
    () => false,
  );

/** A redis-server of its own that writes nothing to disk, or null where none is installed. */
async function startRedis(folder) {
  const port = await freePort();
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
  const server = spawn('redis-server', args, { stdio: 'ignore' });
  if (!(await happens(server, 'spawn'))) return null;
  for (let tries = 0; tries < 100; tries += 1) {
    const socket = createConnection({ port, host: '127.0.0.1' });
    const isOpen = await happens(socket, 'connect');
    socket.destroy();
    if (isOpen) break;
    await sleep(50);
  }
  return { url: `redis://127.0.0.1:${port}`, stop: () => end(server) };
}

/** Ends a child process and waits for that. */
export async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

/** Postgres and Redis of this run, in a folder of their own. */
export async function openServers() {
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-bench-'));
  const postgres = await startPostgres({ dataDir: folder });
  const redis = await startRedis(folder);
  return {
    folder,
    redisUrl: redis?.url ?? null,
    async openWorld(name) {
      const url = new URL(postgres.url);
      await sql(postgres.url, `CREATE DATABASE "${name}"`);
      url.pathname = `/${name}`;
      await migrate(url.href);
      return openWorld(url.href);
    },
    async close() {
      await redis?.stop();
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function sql(databaseUrl, text, values) {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** A migrated database with a team, its key, a base model and a dataset, and the ports on it. */
async function openWorld(databaseUrl) {
  const unitOfWork = createUnitOfWork(databaseUrl);
  const ports = { unitOfWork, clock: systemClock, ids: randomIds };
  const teamId = await unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('bench'));
  const { secret } = await createApiKey(ports, teamId, { name: 'bench', role: 'admin' });
  const baseModel = await addBaseModel(ports, teamId, {
    ...{ name: 'tiny', source: 'tiny', revision: 'b'.repeat(40), modelType: 'llama', parameters: 1000 },
    ...{ contextLength: 2048, vocabSize: 256, decoder: tinyDecoder },
    files: [{ path: 'config.json', sha256, bytes: 2 }],
  });
  const dataset = await addDataset(ports, teamId, {
    ...{ filename: 'chats.jsonl', bytes: 10, sha256, format: 'chat', rows: 40, tokens: 4000 },
    ...{ lossTokens: 2000, tokensOf: baseModel.name },
  });
  return {
    ...{ databaseUrl, ports, teamId, secret, baseModel, dataset },
    submit: (adapter = 'bench') =>
      submitJob(
        ports,
        teamId,
        createJobSchema.parse({ baseModel: baseModel.name, dataset: dataset.id, adapter }),
      ),
    close: () => unitOfWork.close(),
  };
}

/** Starts bench/orchestration/<name>.mjs with its settings and resolves when it says that it is ready. Its output goes to a file. */
export async function startProcess(name, settings) {
  const log = openSync(join(settings.folder, `${name}.log`), 'a');
  const child = fork(join(root, 'bench/orchestration', `${name}.mjs`), [JSON.stringify(settings)], {
    stdio: ['ignore', log, 'inherit', 'ipc'],
  });
  closeSync(log);
  const [ready] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`${name} ended with ${code}`);
    }),
  ]);
  return { child, ready, stop: () => end(child) };
}

/** The queue's Redis as libs/config would have it; null: on Postgres. */
export const redisOf = (url) => (url === null ? null : { type: 'single', url });

/** Milliseconds on a clock that all processes of a machine share. */
export const now = () => Number(process.hrtime.bigint()) / 1e6;

export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
export const spread = (values) => ({ p50: percentile(values, 0.5), p99: percentile(values, 0.99) });

/** Calls `work` for 0 … count − 1, `width` at a time. */
export async function inParallel(count, width, work) {
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
