import { type StoredFile } from '@lowrank/contracts';
import { found } from '@lowrank/domain';
import {
  freePort,
  makeBaseModel,
  makeDataset,
  makeJob,
  makeManifest,
  tinyTemplate,
  writeTinyAdapter,
  writeTinyModel,
} from '@lowrank/testing';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { TestApi } from './api';

interface Health {
  status: string;
  bases: number;
  adapters: number;
  running: number;
}

/** The API in front of servers, all as they are in the product, with a base model `tiny` and versions of an adapter `captain`. */
export class ServedApi {
  readonly servers: ChildProcess[] = [];

  private constructor(
    readonly api: TestApi,
    /** Of OpenAI's, with the member's key. */
    readonly client: OpenAI,
    readonly ports: readonly number[],
    private readonly folder: string,
    private readonly env: Record<string, string>,
  ) {}

  /** So many servers, and two versions; `env` is of API and servers. */
  static async start(count: number, env: Record<string, string> = {}): Promise<ServedApi> {
    const folder = await mkdtemp(join(tmpdir(), 'lowrank-serve-'));
    const ports: number[] = [];
    while (ports.length < count) ports.push(await freePort());
    const all = {
      LOWRANK_SERVE_TOKEN: 'a-token-of-these-tests',
      // Nothing listens on the first: port 1 is nobody's.
      LOWRANK_SERVE_URLS: ['http://127.0.0.1:1', ...ports.map((port) => `http://127.0.0.1:${port}`)].join(),
      ...env,
    };
    const api = await TestApi.start(all);
    const client = new OpenAI({
      ...{ baseURL: `${api.url}/v1`, apiKey: api.memberKey, logLevel: 'off', maxRetries: 0 },
    });
    const served = new ServedApi(api, client, ports, folder, all);
    for (const i of ports.keys()) await served.startServer(i);
    const files = await served.stored('model', (to) => writeTinyModel(to));
    await api.ports.unitOfWork.run(({ baseModels }) =>
      baseModels.insert(api.teamId, makeBaseModel({ name: 'tiny', files })),
    );
    await served.publish(1);
    await served.publish(2);
    for (const port of ports) while ((await health(port)) === null) await sleep(50);
    return served;
  }

  /** Starts one again, with what it has on its disk. */
  async startServer(i: number): Promise<void> {
    const { api } = this;
    // All read the same objects and keep caches of their own.
    const data = i === 0 ? api.folder : join(api.folder, `server-${i}`);
    if (i > 0 && this.servers[i] === undefined) {
      await mkdir(data, { recursive: true });
      await mkdir(join(api.folder, 'objects'), { recursive: true });
      await symlink(join(api.folder, 'objects'), join(data, 'objects'));
    }
    this.servers[i] = fork(resolve(__dirname, '../../../serve/src/main.ts'), [], {
      env: {
        ...process.env,
        ...this.env,
        LOWRANK_DATA: data,
        LOWRANK_SERVE_PORT: String(this.ports[i]),
        LOWRANK_LOG_LEVEL: 'error',
      },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }

  /** Asks one to leave, and waits until it has. */
  async stopServer(i: number): Promise<void> {
    const server = this.servers[i] as ChildProcess;
    if (server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill('SIGTERM');
    expect(await gone).toEqual([0, null]);
  }

  async health(i: number): Promise<Health | null> {
    return health(this.ports[i] as number);
  }

  /** Another base model, whose chats are of a template. */
  async addBase(name: string, template: string): Promise<void> {
    const { api } = this;
    const files = await this.stored(name, async (to) => {
      await writeTinyModel(to);
      await writeFile(join(to, 'chat_template.jinja'), template);
    });
    await api.ports.unitOfWork.run(({ baseModels }) =>
      baseModels.insert(api.teamId, makeBaseModel({ name, files })),
    );
  }

  /** Makes the next version of captain, which says something else than the others. */
  async publish(seed: number): Promise<void> {
    const { api } = this;
    const files = await this.stored(`adapter-${seed}`, (to) => writeTinyAdapter(to, seed));
    const { ids, unitOfWork } = api.ports;
    await unitOfWork.run(async ({ adapters, baseModels, datasets, jobs }) => {
      const baseModel = found(await baseModels.find(api.teamId, 'tiny'), 'base model', 'tiny');
      const dataset = makeDataset();
      await datasets.insert(api.teamId, dataset);
      const job = makeJob(baseModel, dataset, { adapter: 'captain' });
      const adapter = { id: ids.make('adapter'), name: 'captain', baseModelName: 'tiny', at: job.createdAt };
      await adapters.ensure(api.teamId, adapter);
      await jobs.insert(api.teamId, job);
      const templateSha256 = createHash('sha256').update(tinyTemplate).digest('hex');
      const manifest = makeManifest(job, { files, templateSha256 });
      await adapters.publish(api.teamId, { id: ids.make('version'), manifest, at: new Date().toISOString() });
    });
  }

  async close(): Promise<void> {
    for (const i of this.servers.keys()) await this.stopServer(i);
    await this.api.close();
    await rm(this.folder, { recursive: true });
  }

  private async stored(name: string, write: (to: string) => Promise<void>): Promise<StoredFile[]> {
    const from = join(this.folder, name);
    await write(from);
    const files: StoredFile[] = [];
    for (const path of await readdir(from))
      files.push({ path, ...(await this.api.blobs.putFile(join(from, path))) });
    return files;
  }
}

const health = (port: number): Promise<Health | null> =>
  fetch(`http://127.0.0.1:${port}/health`)
    .then((response) => response.json() as Promise<Health>)
    .catch(() => null);
