import {
  type AdapterVersion,
  type CreateJob,
  createJobSchema,
  createSweepSchema,
  type Dataset,
  idPrefixes,
  type IdKind,
  type JobDetail,
  type JobMetric,
  type Manifest,
  parentsOf,
  type TokenLengths,
  wakeUpVersion,
} from '@lowrank/contracts';
import { claimAttempt } from '../attempts/claim-attempt';
import { planData } from '../batches/data-plan';
import { submitJob } from '../jobs/submit-job';
import { submitSweep } from '../sweeps/submit-sweep';
import { type Ports } from '../ports';
import { type DataPlanner } from '../ports/data-planner';
import { type WorkerRecord } from '../ports/workers';
import { MemoryQueue, MemoryUnitOfWork } from './memory';
import { freshTeam } from './tables';

export const team = 'team_aaaaaaaaaaaaaaaaaaaaaaaa';
const digest = (digit: string) => digit.repeat(64);
const start = Date.parse('2026-01-01T00:00:00.000Z');

/** Conversations of so many tokens, the second half of each learnt. */
export const lengthsOf = (tokens: number[]): TokenLengths => ({
  tokens: Int32Array.from(tokens),
  starts: Int32Array.from({ length: tokens.length + 1 }, (_, i) => 2 * i),
  spans: Int32Array.from(tokens.flatMap((count) => [Math.floor(count / 2), count])),
});

/** A base model of 2,048 tokens, a dataset of 40 rows, time that stands still, ids that count, and no other chance. */
export class World implements Ports {
  readonly unitOfWork = new MemoryUnitOfWork();
  readonly queue = new MemoryQueue();
  private elapsedMs = 0;
  private made = 0;

  readonly clock = { now: () => new Date(start + this.elapsedMs).toISOString() };
  readonly ids = {
    make: (kind: IdKind) =>
      `${idPrefixes[kind]}_${String(++this.made)
        .padStart(24, 'a')
        .replace(/[0-9]/g, (digit) => 'bcdefghijk'[Number(digit)] as string)}`,
  };

  readonly baseModelId = this.ids.make('baseModel');
  readonly datasetId = this.ids.make('dataset');

  constructor() {
    const createdAt = this.clock.now();
    this.unitOfWork.tables.teams.push(freshTeam(team, 'crew'));
    this.unitOfWork.tables.baseModels.push({
      teamId: team,
      id: this.baseModelId,
      name: 'tiny',
      source: 'tiny',
      revision: 'a'.repeat(40),
      modelType: 'llama',
      parameters: 1000,
      contextLength: 2048,
      vocabSize: 256,
      decoder: {
        prefix: 'model.',
        layers: 2,
        hidden: 32,
        intermediate: 48,
        heads: 4,
        kvHeads: 2,
        headDim: 8,
        tiedEmbeddings: true,
        fused: false,
        qkNorms: false,
        outputNorms: false,
        biases: { qkv: false, o: false, mlp: false },
        ropes: 1,
        dtype: 'F32',
        quantization: null,
      },
      files: [],
      status: 'ready',
      createdAt,
    });
    this.unitOfWork.tables.datasets.push({
      name: 'chats',
      version: 1,
      teamId: team,
      id: this.datasetId,
      filename: 'chats.jsonl',
      bytes: 4000,
      sha256: digest('d'),
      format: 'chat',
      rows: 40,
      tokens: 900,
      lossTokens: 500,
      tokensOf: 'tiny',
      expiresAt: null,
      createdAt,
    });
  }

  /** Uploads another dataset, of the same rows unless `changes` say otherwise; resolves to its id. */
  addDataset(changes: Partial<Dataset> = {}): string {
    const [first] = this.unitOfWork.tables.datasets;
    if (!first) throw new Error('no dataset');
    const id = this.ids.make('dataset');
    const other = { id, name: 'held', filename: 'held.jsonl', sha256: digest('9') };
    this.unitOfWork.tables.datasets.push({ ...first, ...other, ...changes });
    return id;
  }

  /** What the planner counts: tokens of each conversation, of which the second half is learnt; null: it cannot. */
  plannedLengths: number[] | null = null;
  readonly planner: DataPlanner = {
    plan: async (_baseModel, _dataset, recipe) =>
      this.plannedLengths === null
        ? { problem: 'the store is away' }
        : planData(lengthsOf(this.plannedLengths), recipe),
  };

  get tables() {
    return this.unitOfWork.tables;
  }

  pass(milliseconds: number): void {
    this.elapsedMs += milliseconds;
  }

  request(overrides: Record<string, unknown> = {}): CreateJob {
    return createJobSchema.parse({
      baseModel: 'tiny',
      dataset: this.datasetId,
      adapter: 'captain',
      ...overrides,
    });
  }

  submit(overrides: Record<string, unknown> = {}): Promise<JobDetail> {
    return submitJob(this, team, this.request(overrides));
  }

  /** A sweep over ranks, unless `overrides` say otherwise. */
  submitSweep(overrides: Record<string, unknown> = {}) {
    const request = createSweepSchema.parse({
      baseModel: 'tiny',
      dataset: this.datasetId,
      adapter: 'captain',
      space: { 'lora.rank': { values: [2, 4, 8] } },
      method: { type: 'grid' },
      ...overrides,
    });
    return submitSweep(this, team, request);
  }

  /** A worker that was seen just now. */
  addWorker(overrides: Partial<WorkerRecord> = {}): WorkerRecord {
    const worker: WorkerRecord = {
      id: this.ids.make('worker'),
      hostname: 'alfa',
      slots: 1,
      device: 'cpu',
      deviceClass: 'cpu',
      memoryBytes: 0,
      threads: 0,
      operationsPerSecond: null,
      wakeUpVersion,
      usage: null,
      drain: null,
      failure: null,
      seenAt: this.clock.now(),
      ...overrides,
    };
    this.unitOfWork.tables.workers.push(worker);
    return worker;
  }

  /** A job whose first attempt a worker holds. */
  async claimed() {
    const { id: jobId, epoch } = await this.submit();
    await claimAttempt(this, { jobId, epoch }, 'wrk_1');
    return { jobId, epoch };
  }

  /** A job, and what it has published as the next version of its adapter. */
  async publish(overrides: Record<string, unknown> = {}): Promise<AdapterVersion> {
    const { id: jobId } = await this.submit(overrides);
    const version = { id: this.ids.make('version'), manifest: this.manifest(jobId), at: this.clock.now() };
    return this.unitOfWork.run(({ adapters }) => adapters.publish(team, version));
  }

  job(id: string) {
    const job = this.tables.jobs.find((one) => one.id === id);
    if (!job) throw new Error(`no job ${id}`);
    return job;
  }

  /** Each event of a job as `<type> <state> <epoch>`. */
  history(id: string): string[] {
    return this.tables.events
      .filter((event) => event.jobId === id)
      .map((event) => `${event.type} ${event.state ?? '-'} ${event.epoch}`);
  }

  metric(step: number, kind: JobMetric['kind'] = 'train'): JobMetric {
    return {
      step,
      at: this.clock.now(),
      kind,
      loss: 2,
      learningRate: 1e-4,
      gradNorm: 1,
      tokensPerSecond: 10,
      epochs: 0.1,
      accuracy: null,
      rewardMargin: null,
    };
  }

  manifest(jobId: string, epoch = 1): Manifest {
    const job = this.job(jobId);
    return {
      format: 1,
      jobId,
      epoch,
      adapter: job.adapter,
      baseModel: job.baseModel,
      dataset: { id: job.dataset.id, sha256: job.dataset.sha256 },
      recipe: job.recipe,
      parents: parentsOf(job),
      templateSha256: digest('e'),
      checkpointStep: null,
      metrics: {
        steps: 12,
        skippedSteps: 0,
        rollbacks: 0,
        trainedTokens: 3400,
        trainLoss: 1,
        evalLossBefore: 2,
        evalLossAfter: 1,
        evalAccuracyBefore: 0.2,
        evalAccuracyAfter: 0.5,
        seconds: 10,
        peakMemoryBytes: 1_000_000,
      },
      certificate: null,
      files: [{ path: 'adapter_model.safetensors', sha256: digest('f'), bytes: 4096 }],
    };
  }
}
