import { type BaseModel, type Dataset, type Job, type JobDetail } from '@lowrank/contracts';
import { testDatabase } from '@lowrank/testing';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const root = resolve(__dirname, '../../..');
const samples = join(root, 'samples');

/** A whole Lowrank as `lowrank up` runs it, from dist/, on a database of its own: API with dashboard, worker and server. */
export class Stack {
  private constructor(
    readonly url: string,
    /** Of an owner of the operator's team. */
    readonly key: string,
    readonly databaseUrl: string,
    private readonly child: ChildProcess,
    private readonly clear: () => Promise<void>,
  ) {}

  /** `env`: in place of the settings that these tests have. */
  static async start(env: Record<string, string> = {}): Promise<Stack> {
    if (!existsSync(join(root, 'apps/dashboard/dist/index.html')))
      throw new Error('The dashboard is not built: npm run build.');
    const database = await testDatabase();
    const folder = await mkdtemp(join(tmpdir(), 'lowrank-dashboard-'));
    const child = spawn(process.execPath, [join(root, 'bin/lowrank.mjs'), 'up'], {
      env: {
        ...process.env,
        ...{ NODE_OPTIONS: '', DATABASE_URL: database.url, REDIS_URL: '', S3_BUCKET: '' },
        ...{ LOWRANK_DATA: folder, LOWRANK_PORT: '0', LOWRANK_IMPORT_ROOTS: samples },
        // The browser and other tests want processors too.
        LOWRANK_THREADS: '1',
        // The journeys' own servers are on loopback.
        ...{ LOWRANK_WEBHOOK_NETWORKS: '127.0.0.0/8', LOWRANK_IMPORT_NETWORKS: '127.0.0.0/8' },
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    const clear = async () => {
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    };
    while (!output.includes('Lowrank runs at')) {
      if (child.exitCode !== null) {
        await clear();
        throw new Error(`lowrank up ended:\n${output}`);
      }
      await sleep(100);
    }
    const { url } = JSON.parse(await readFile(join(folder, 'up.json'), 'utf8')) as { url: string };
    const key = (await readFile(join(folder, 'admin-key'), 'utf8')).trim();
    return new Stack(url, key, database.url, child, clear);
  }

  /** A request with the admin key; throws when it is refused. */
  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const isForm = body instanceof FormData;
    const response = await fetch(this.url + path, {
      method,
      headers: {
        authorization: `Bearer ${this.key}`,
        ...(isForm || body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: isForm ? body : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  /** The sample base model, as `sample`. */
  importSample(): Promise<BaseModel> {
    const source = { type: 'folder', path: join(samples, 'base') };
    return this.call('POST', '/api/v1/base-models', { name: 'sample', source });
  }

  async uploadSample(): Promise<Dataset> {
    const form = new FormData();
    form.set('file', new Blob([await readFile(join(samples, 'data/train.jsonl'))]), 'train.jsonl');
    return this.call('POST', '/api/v1/files', form);
  }

  submit(request: object): Promise<JobDetail> {
    return this.call('POST', '/api/v1/jobs', request);
  }

  /** Waits until a job has ended; throws when it has not succeeded. */
  async untilSucceeded(id: string): Promise<Job> {
    for (;;) {
      const job = await this.call<Job>('GET', `/api/v1/jobs/${id}`);
      if (job.state === 'succeeded') return job;
      if (job.state === 'failed' || job.state === 'cancelled')
        throw new Error(`${id} ${job.state}: ${JSON.stringify(job.error)}`);
      await sleep(200);
    }
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = once(this.child, 'exit');
      this.child.kill('SIGTERM');
      await gone;
    }
    await this.clear();
  }
}
