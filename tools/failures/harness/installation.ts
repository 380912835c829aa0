import { type AdapterVersion, type CreateJobInput, type Job, type RecipeInput } from '@lowrank/contracts';
import { createUnitOfWork } from '@lowrank/db';
import { ensureAdminKey, migrate } from '@lowrank/platform';
import { tinyConfig, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from './client';
import { endAll, Program } from './program';
import { freePort, Postgres, Redis, root } from './servers';
import { until } from './wait';

/** Small and fast, and its checkpoints as often as is asked. */
export const tinyRecipe = (
  steps: number,
  everySteps = 10,
  training: RecipeInput['training'] = {},
): RecipeInput => ({
  lora: { rank: 4, dropout: 0.1 },
  training: { steps, sequenceLength: 64, rows: 2, compute: 'f32', ...training },
  optimizer: { learningRate: 0.01 },
  evaluation: { fraction: 0 },
  checkpoints: { everySteps },
});

export interface WorkerOptions {
  slots?: number;
  /** Its folder; by default that of all: the machine that everything runs on. */
  dataDir?: string;
  env?: NodeJS.ProcessEnv;
}

export interface JobRow {
  id: string;
  state: string;
  epoch: number;
  step: number;
  checkpointStep: number;
  fruitless: number;
  workerId: string | null;
  assignedTo: string | null;
}

/** A worker's process, and the id under which the others know it. */
export interface RunningWorker {
  id: string;
  program: Program;
}

/**
 * A whole Lowrank in a folder of its own: the compiled API and workers as processes, on a PostgreSQL and a Redis of their own,
 * with objects in a folder unless the environment names an S3 server.
 */
export class Installation {
  private started = 0;
  private submitted = 0;
  private model = '';
  private dataset = '';
  private address = '';
  client!: Client;

  private constructor(
    readonly folder: string,
    readonly postgres: Postgres,
    readonly redis: Redis,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  /** Runs `work` on a new installation, of which nothing is left afterwards. */
  static async with<T>(
    work: (installation: Installation) => Promise<T>,
    env: (folder: string) => Promise<NodeJS.ProcessEnv> = async () => ({}),
  ): Promise<T> {
    const folder = await mkdtemp(join(tmpdir(), 'lowrank-failures-'));
    const postgres = new Postgres(folder);
    try {
      await mkdir(join(folder, 'data'));
      const redis = await Redis.start(join(folder, 'redis'));
      await postgres.start();
      const installation = new Installation(folder, postgres, redis, await env(folder));
      await installation.prepare();
      return await work(installation);
    } finally {
      await endAll();
      await postgres.close().catch(() => undefined);
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    }
  }

  get dataDir(): string {
    return join(this.folder, 'data');
  }

  private async prepare(): Promise<void> {
    if (!existsSync(join(root, 'dist/apps/api/src/main.js')))
      throw new Error('The programs are not compiled: run `npm run setup` first.');
    await migrate(this.postgres.url);
    const unitOfWork = createUnitOfWork(this.postgres.url, { max: 2 });
    await ensureAdminKey(unitOfWork, this.dataDir);
    await unitOfWork.close();
    const port = await freePort();
    this.address = `http://127.0.0.1:${port}`;
    const key = (await readFile(join(this.dataDir, 'admin-key'), 'utf8')).trim();
    this.client = new Client(this.address, key);
  }

  private launch(app: 'api' | 'worker', name: string, env: NodeJS.ProcessEnv): Program {
    const main = join(root, 'dist/apps', app, 'src/main.js');
    return new Program({
      name,
      command: process.execPath,
      args: ['--enable-source-maps', main],
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        DATABASE_URL: this.postgres.url,
        REDIS_URL: this.redis.url,
        LOWRANK_DATA: this.dataDir,
        LOWRANK_IMPORT_ROOTS: this.folder,
        LOWRANK_THREADS: '1',
        // A slot and a trainer for each job, so that what runs can be counted.
        LOWRANK_JOBS_PER_TRAINER: '1',
        ...this.env,
        ...env,
      },
      logFile: join(this.folder, `${name}.log`),
    });
  }

  /** Resolves when it answers. */
  async startApi(): Promise<Program> {
    const program = this.launch('api', 'api', { LOWRANK_PORT: new URL(this.address).port });
    await until('the API to answer', async () => {
      if (!program.isAlive) throw new Error(`it ended: ${program.log().slice(-2000)}`);
      return this.client.isHealthy();
    });
    return program;
  }

  /** Resolves when its row is in Postgres. */
  async startWorker(options: WorkerOptions = {}): Promise<RunningWorker> {
    const { slots = 1, dataDir = this.dataDir, env } = options;
    const known = await this.workerIds();
    const name = `worker-${(this.started += 1)}`;
    const program = this.launch('worker', name, {
      LOWRANK_SLOTS: String(slots),
      LOWRANK_THREADS: String(slots),
      LOWRANK_DATA: dataDir,
      ...env,
    });
    const id = await until(`${name} to be seen`, async () => {
      if (!program.isAlive) throw new Error(`it ended: ${program.log().slice(-2000)}`);
      return (await this.workerIds()).find((one) => !known.includes(one)) ?? null;
    });
    return { id, program };
  }

  private async workerIds(): Promise<string[]> {
    return (await this.postgres.query<{ id: string }>('SELECT id FROM workers')).map(({ id }) => id);
  }

  /** Imports a tiny model, in which positions may go further than it was made for, and uploads a dataset. */
  async prepareCatalog(
    lines = tinyDataset(40),
    maxPositions = tinyConfig.max_position_embeddings,
  ): Promise<void> {
    const folder = join(this.folder, 'models', 'tiny');
    await writeTinyModel(folder);
    const config = { ...tinyConfig, max_position_embeddings: maxPositions };
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    this.model = (await this.client.importModel('tiny', folder)).name;
    this.dataset = (await this.client.upload(lines)).id;
  }

  /** A request for a job on the tiny model, whose adapter is a new one. */
  request(recipe: RecipeInput, more: Partial<CreateJobInput> = {}): CreateJobInput {
    this.submitted += 1;
    return {
      baseModel: this.model,
      dataset: this.dataset,
      adapter: `adapter-${this.submitted}`,
      recipe,
      ...more,
    };
  }

  submit(recipe: RecipeInput, more: Partial<CreateJobInput> = {}): Promise<Job> {
    return this.client.submit(this.request(recipe, more));
  }

  /** A job's row as it is in Postgres, without asking the API. */
  async row(id: string): Promise<JobRow> {
    const [row] = await this.rows('WHERE id = $1', [id]);
    if (!row) throw new Error(`there is no job ${id}`);
    return row;
  }

  rows(where = '', values: unknown[] = []): Promise<JobRow[]> {
    return this.postgres.query(
      `SELECT id, state, epoch, step, checkpoint_step AS "checkpointStep", fruitless_attempts AS fruitless,
         worker_id AS "workerId", assigned_to AS "assignedTo" FROM jobs ${where}`,
      values,
    );
  }

  async countByState(): Promise<Record<string, number>> {
    const rows = await this.postgres.query<{ state: string; count: string }>(
      'SELECT state, count(*) FROM jobs GROUP BY state',
    );
    return Object.fromEntries(rows.map(({ state, count }) => [state, Number(count)]));
  }

  /** Waits for a job to end well, and resolves to its adapter's versions; rejects with its error when it fails. */
  async published(job: Job): Promise<AdapterVersion[]> {
    await until(`job ${job.id} to end`, async () => {
      const { state } = await this.row(job.id);
      return ['succeeded', 'failed', 'cancelled'].includes(state);
    });
    const { state, error } = await this.client.job(job.id);
    if (state !== 'succeeded') throw new Error(`job ${job.id} ${state}: ${error?.code} ${error?.message}`);
    return this.client.versions(job.adapter);
  }

  /** Waits until a job's attempt trains, and has reported at least so many steps. */
  async training(job: Job, { epoch, step = 1 }: { epoch?: number; step?: number } = {}): Promise<JobRow> {
    return until(
      `job ${job.id} to train`,
      async () => {
        const row = await this.row(job.id);
        if (['succeeded', 'failed', 'cancelled'].includes(row.state))
          throw new Error(`it is ${row.state}: ${(await this.client.job(job.id)).error?.message}`);
        return row.state === 'running' && row.step >= step && (epoch === undefined || row.epoch === epoch)
          ? row
          : null;
      },
      { everyMs: 20 },
    );
  }

  /** Every step's loss as Postgres has it, with all its digits. */
  async lossTrace(id: string): Promise<string[]> {
    const rows = await this.postgres.query<{ line: string }>(
      `SELECT kind || ' ' || step || ' ' || loss AS line FROM job_metrics WHERE job_id = $1 ORDER BY step, kind`,
      [id],
    );
    return rows.map(({ line }) => line);
  }

  /** Versions beyond the first of any job or adapter; both are zero when nothing was published twice. */
  async publishedTwice(): Promise<number> {
    const [row] = await this.postgres.query<{ count: string }>(
      'SELECT count(*) - count(DISTINCT job_id) + count(*) FILTER (WHERE number > 1) AS count FROM adapter_versions',
    );
    return Number(row?.count);
  }
}

export const weightsOf = ({ files }: AdapterVersion): string =>
  files.find(({ path }) => path === 'adapter_model.safetensors')?.sha256 ?? 'none';
