import { loadConfig } from '@lowrank/config';
import {
  type Action,
  type BaseModel,
  type Dataset,
  type ErrorBody,
  isChange,
  type Role,
} from '@lowrank/contracts';
import { createUnitOfWork } from '@lowrank/db';
import { createApiKey, type ObjectStore, type Ports, randomIds, systemClock } from '@lowrank/domain';
import { createQueueInspector } from '@lowrank/queue';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { traceparentNow } from '@lowrank/telemetry';
import { testDatabase, type TestDatabase, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type onSendAsyncHookHandler } from 'fastify';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ZodType } from 'zod';
import { createAdapter, createApp } from '../app';
import { answerWriter } from '../http/answers';

interface CallOptions {
  /** Default: the admin's; null: none. */
  key?: string | null;
  json?: unknown;
  body?: string | FormData;
  headers?: Record<string, string>;
}

/** Writes answers as the product does, and fails the request when one breaks its contract. */
function strictAnswerWriter({ schema }: { schema: unknown }): (answer: unknown) => string {
  const write = answerWriter({ schema });
  return (answer) => {
    const text = write(answer);
    (schema as ZodType).parse(JSON.parse(text));
    return text;
  };
}

/** Fails a request that has changed something without exactly one row in the audit log, or has written one without changing anything. */
function strictAudit({ unitOfWork }: Ports): onSendAsyncHookHandler {
  return async ({ principal, routeOptions, id }, { statusCode }) => {
    const { action } = routeOptions.config;
    if (principal === null || action === undefined) return;
    const { data } = await unitOfWork.look(({ audit }) =>
      audit.list(principal.teamId, { request: id, limit: 9 }),
    );
    const expected = statusCode < 300 && isChange(action) ? 1 : 0;
    if (data.length !== expected && statusCode < 500)
      throw new Error(`${routeOptions.url} left ${data.length} rows in the audit log instead of ${expected}`);
  };
}

/** The real API, listening on a free loopback port, over a database and a folder of its own. */
export class TestApi {
  private constructor(
    readonly app: NestFastifyApplication,
    readonly ports: Ports,
    readonly store: ObjectStore,
    readonly blobs: Blobs,
    readonly folder: string,
    readonly url: string,
    /** `<METHOD> <pattern>` of every registered route, and the action that it declares. */
    readonly actions: ReadonlyMap<string, Action | undefined>,
    readonly teamId: string,
    readonly adminKey: string,
    readonly memberKey: string,
    readonly viewerKey: string,
    readonly sql: TestDatabase['sql'],
    private readonly drop: () => Promise<void>,
  ) {}

  /** `env` adds to the configuration. Its data, and the only import root, is a temporary folder; it has pages only where they are given. */
  static async start(
    env: Record<string, string> = {},
    { dashboardDir }: { dashboardDir?: string } = {},
  ): Promise<TestApi> {
    const database = await testDatabase();
    const folder = await mkdtemp(join(tmpdir(), 'lowrank-api-'));
    const loaded = loadConfig({
      LOWRANK_DATA: join(folder, 'data'),
      LOWRANK_IMPORT_ROOTS: join(folder, 'models'),
      LOWRANK_LOG_LEVEL: 'silent',
      DATABASE_URL: database.url,
      ...env,
    });
    const config = { ...loaded, dashboardDir: dashboardDir ?? join(folder, 'pages') };
    const store = createObjectStore({ s3: config.s3, folder: join(folder, 'objects') });
    const blobs = new Blobs(store);
    const unitOfWork = createUnitOfWork(database.url, { traceparent: traceparentNow });
    const ports = { unitOfWork, clock: systemClock, ids: randomIds };
    const adapter = createAdapter(config);
    adapter.getInstance().setSerializerCompiler(strictAnswerWriter);
    adapter.getInstance().addHook('onSend', strictAudit(ports));
    const actions = new Map<string, Action | undefined>();
    adapter.getInstance().addHook('onRoute', ({ method, url, config }) => {
      for (const one of [method].flat()) actions.set(`${one} ${url}`, config?.action);
    });
    const queue = createQueueInspector({ databaseUrl: database.url, redis: config.redis, prefix: 'test' });
    const app = await createApp({ config, ports, store, blobs, queue }, adapter);
    await app.listen(0, '127.0.0.1');
    const teamId = await ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('test'));
    const keyOf = async (role: Role) => (await createApiKey(ports, teamId, { name: role, role })).secret;
    return new TestApi(
      app,
      ports,
      store,
      blobs,
      folder,
      await app.getUrl(),
      actions,
      teamId,
      await keyOf('admin'),
      await keyOf('member'),
      await keyOf('viewer'),
      database.sql,
      async () => {
        await queue.close();
        await unitOfWork.close();
        await database.drop();
      },
    );
  }

  get routes(): string[] {
    return [...this.actions.keys()];
  }

  fetch(method: string, path: string, { key = this.adminKey, json, body, headers }: CallOptions = {}) {
    return fetch(this.url + path, {
      method,
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: json === undefined ? body : JSON.stringify(json),
    });
  }

  /** Fetches and parses; throws when the status is not the expected one. */
  async call<T>(method: string, path: string, status: number, options?: CallOptions): Promise<T> {
    const response = await this.fetch(method, path, options);
    const text = await response.text();
    if (response.status !== status) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  async refusal(method: string, path: string, options?: CallOptions) {
    const response = await this.fetch(method, path, options);
    const { error } = (await response.json()) as ErrorBody;
    return { status: response.status, ...error };
  }

  /** A folder under the import root; nothing is there yet. */
  modelFolder(name: string): string {
    return join(this.folder, 'models', name);
  }

  async importTiny(name = 'tiny'): Promise<BaseModel> {
    await writeTinyModel(this.modelFolder(name));
    const source = { type: 'folder', path: this.modelFolder(name) };
    return this.call('POST', '/api/v1/base-models', 201, { json: { name, source } });
  }

  form(content: string | Uint8Array, fields: Record<string, string> = {}, name = 'chats.jsonl'): FormData {
    const form = new FormData();
    form.set('file', new Blob([content]), name);
    for (const [field, value] of Object.entries(fields)) form.set(field, value);
    return form;
  }

  upload(content = tinyDataset(24)): Promise<Dataset> {
    return this.call('POST', '/api/v1/files', 201, { body: this.form(content) });
  }

  /** What is left of uploads and imports; empty when all have cleaned up. */
  staged(): Promise<string[]> {
    return readdir(join(this.folder, 'data', 'staging')).catch(() => []);
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.drop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
