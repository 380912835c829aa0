import {
  type ChatMessage,
  recipeSchema,
  type ServeRequestInput,
  type ServeTarget,
  type StoredFile,
} from '@lowrank/contracts';
import { loadChatTokenizer, type ChatTokenizer } from '@lowrank/datasets';
import { randomIds } from '@lowrank/domain';
import { type Adapter, type Base, type Kernels, openKernels } from '@lowrank/kernels';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { writeTinyModel } from '@lowrank/testing';
import {
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  adapterConfig,
  adapterWeights,
  generate,
  type Generated,
  type PairDtype,
} from '@lowrank/training';
import { type FastifyInstance } from 'fastify';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { Rereads } from '../generation/rereads';
import { Service } from '../generation/service';
import { Turns, type TurnsOptions } from '../generation/turns';
import { InFlight } from '../http/in-flight';
import { createServer } from '../http/server';
import { ServeMetrics } from '../metrics';
import { Models } from '../models/models';
import { Pins } from '../models/pins';

export const token = 'a-token-of-tests';
export const teamId = `team_${'a'.repeat(24)}`;

/** A server on loopback over an object store with a tiny base model, and what it should answer. */
export class World {
  readonly baseTarget: ServeTarget;
  private readonly adapters: Adapter[] = [];

  private constructor(
    private readonly folder: string,
    private readonly kernels: Kernels,
    readonly base: Base,
    readonly tokenizer: ChatTokenizer,
    private readonly blobs: Blobs,
    baseFiles: StoredFile[],
  ) {
    const { base: storage } = recipeSchema.parse({});
    this.baseTarget = { baseModel: { name: 'tiny', files: baseFiles, storage }, adapter: null };
  }

  /** `template`: of chats, instead of the tiny model's. */
  static async make(template?: string): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'lowrank-serve-'));
    const model = join(folder, 'model');
    await writeTinyModel(model);
    if (template !== undefined) await writeFile(join(model, 'chat_template.jinja'), template);
    const blobs = new Blobs(createObjectStore({ s3: null, folder: join(folder, 'objects') }));
    const files: StoredFile[] = [];
    for (const path of await readdir(model))
      files.push({ path, ...(await blobs.putFile(join(model, path))) });
    const kernels = openKernels({ threads: 1 });
    await kernels.quantizeBase(model, join(folder, 'base.lrb'));
    const base = await kernels.openBase(join(folder, 'base.lrb'));
    return new World(folder, kernels, base, await loadChatTokenizer(model), blobs, files);
  }

  /** An adapter on every linear layer that says something else than the base, and the same in the object store. */
  async addAdapter(rank: number): Promise<{ adapter: Adapter; target: ServeTarget }> {
    const targets = this.base.info.linears.map(({ name }) => ({ name, rank, scale: 2 }));
    const adapter = this.base.createAdapter({ targets, seed: BigInt(rank) });
    this.adapters.push(adapter);
    adapter.tensors.forEach(({ role }, i) => {
      if (role === 'lora_B')
        adapter.write(
          i,
          adapter.read(i).map((_, k) => ((k * 7 + i + rank) % 11) / 50 - 0.1),
        );
    });
    const recipe = recipeSchema.parse({ lora: { rank, alpha: 2 * rank } });
    const files: StoredFile[] = [];
    for (const [path, content] of [
      [ADAPTER_CONFIG, Buffer.from(adapterConfig(this.base, recipe, 'tiny', 'main'))],
      [ADAPTER_WEIGHTS, adapterWeights(adapter)],
    ] as const)
      files.push({ path, ...(await this.blobs.put(content)) });
    const { templateSha256 } = this.tokenizer;
    const target = { ...this.baseTarget, adapter: { id: randomIds.make('version'), files, templateSha256 } };
    return { adapter, target };
  }

  /** What generation one at a time answers, greedily. */
  expected(messages: ChatMessage[], adapter: Adapter | null, maxTokens: number): Promise<Generated> {
    return generate(this.base, this.tokenizer, messages, { adapter, maxTokens });
  }

  /** `cache`: of a server that ran before. */
  async serve({
    cacheTokens = 1024,
    memoryBytes = Infinity,
    diskBytes = Infinity,
    adapterDtype = 'auto',
    cache: given,
    ...options
  }: Partial<TurnsOptions & Limits> = {}): Promise<Served> {
    const cache = given ?? (await mkdtemp(join(this.folder, 'cache-')));
    const kernels = openKernels({ threads: 1 });
    const models = new Models({
      kernels,
      blobs: this.blobs,
      cacheDir: cache,
      adaptersDir: join(cache, 'adapters'),
      diskBytes,
      keepBases: 1,
      keepAdapters: 1,
      adapterDtype,
      memoryBytes,
      shape: { threads: 1, cacheTokens, rows: 4 },
    });
    const turns = new Turns({ running: 4, waiting: 16, patienceMs: 10_000, ...options });
    const pins = new Pins({ models, memoryBytes, file: join(cache, 'pins.json') });
    const service = new Service(models, turns, new Rereads(models, turns));
    const logger = pino({ level: 'silent' });
    const inFlight = new InFlight();
    const app = createServer({
      ...{ service, models, pins, turns, inFlight, token, logger, bodyBytes: 2 ** 20 },
      metrics: new ServeMetrics({ models, pins, turns }),
      metricsToken: 'a-token-of-prometheus',
    });
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    await pins.restore();
    return new Served(app, url, turns, inFlight, cache, async () => {
      await service.close();
      await pins.close();
      models.close();
      kernels.close();
    });
  }

  async end(): Promise<void> {
    this.adapters.forEach((adapter) => adapter.close());
    this.base.close();
    this.kernels.close();
    await rm(this.folder, { recursive: true });
  }
}

interface Limits {
  cacheTokens: number;
  memoryBytes: number;
  diskBytes: number;
  adapterDtype: PairDtype;
  cache: string;
}

export class Served {
  constructor(
    private readonly app: FastifyInstance,
    readonly url: string,
    readonly turns: Turns,
    readonly inFlight: InFlight,
    /** Where it keeps files. */
    readonly cache: string,
    private readonly free: () => Promise<void>,
  ) {}

  send(
    target: ServeTarget,
    completion: ServeRequestInput['completion'],
    { signal, key = token, id }: { signal?: AbortSignal; key?: string; id?: string } = {},
  ): Promise<Response> {
    const body: ServeRequestInput = { teamId, target, completion };
    return fetch(`${this.url}/v1/completions`, {
      method: 'POST',
      headers: {
        ...{ authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        ...(id === undefined ? {} : { 'x-request-id': id }),
      },
      body: JSON.stringify(body),
      ...(signal ? { signal } : {}),
    });
  }

  /** Any other request, as the API makes it. */
  ask(method: string, path: string, key = token, json?: unknown): Promise<Response> {
    const body = json === undefined ? undefined : JSON.stringify(json);
    return fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    });
  }

  async health(): Promise<Record<string, unknown>> {
    return (await fetch(`${this.url}/health`)).json() as Promise<Record<string, unknown>>;
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.free();
  }
}
