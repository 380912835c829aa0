import {
  type BaseModel,
  type Certificate,
  type DataEstimate,
  type Dataset,
  type Estimate,
  type EvaluationManifest,
  type ExportManifest,
  type Gate,
  type Job,
  type JobEvent,
  type JobMetric,
  type JobState,
  type Manifest,
  parityThresholds,
  type Recipe,
  recipeSchema,
  training,
  type VersionMetrics,
  wakeUpVersion,
} from '@lowrank/contracts';
import { type JobPatch, type JobRepository, type NewJob, randomIds, type WorkerFacts } from '@lowrank/domain';
import { createHash } from 'node:crypto';
import { tinyDecoder } from './tiny-model';

/** Valid records of libs/contracts, each with an id of its own; `overrides` replace fields. */

const at = '2026-01-01T00:00:00.000Z';
export const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

export const makeRecipe = (overrides: Parameters<typeof recipeSchema.parse>[0] = {}): Recipe =>
  recipeSchema.parse(overrides);

export function makeBaseModel(overrides: Partial<BaseModel> = {}): BaseModel {
  const id = randomIds.make('baseModel');
  return {
    id,
    name: `base-${id.slice(-8)}`,
    source: 'tiny-llama',
    revision: 'a1'.repeat(20),
    modelType: 'llama',
    parameters: 3_000_000_000,
    contextLength: 2048,
    vocabSize: 32_000,
    decoder: tinyDecoder,
    files: [
      { path: 'config.json', sha256: sha256('config'), bytes: 600 },
      { path: 'model.safetensors', sha256: sha256('weights'), bytes: 6_000_000_000 },
    ],
    status: 'ready',
    createdAt: at,
    ...overrides,
  };
}

export const makeDataset = (overrides: Partial<Dataset> = {}): Dataset => ({
  id: randomIds.make('dataset'),
  name: `chats-${randomIds.make('dataset').slice(-12)}`,
  version: 1,
  filename: 'chats.jsonl',
  bytes: 5_000_000_000,
  sha256: sha256('chats'),
  format: 'chat',
  rows: 300,
  tokens: 12_000,
  lossTokens: 5_000,
  tokensOf: 'tiny',
  createdAt: at,
  expiresAt: null,
  ...overrides,
});

/** What training makes of a small dataset. */
export const makeDataEstimate = (overrides: Partial<DataEstimate> = {}): DataEstimate => ({
  ...{ rows: 270, heldOutRows: 30, truncatedRows: 0, droppedRows: 0, sequences: 270, heldOutSequences: 30 },
  ...{ packedRows: 24, fill: 0.98, tokensPerEpoch: 12_000, lossTokensPerEpoch: 5000, stepsPerEpoch: 6 },
  ...{ steps: 18, tokens: 36_000, lossTokens: 15_000, lengths: [{ upTo: 64, sequences: 270 }] },
  ...overrides,
});

/** Of a job that takes 4.5 GB, 3 of which others on its base share. */
export const makeEstimate = (overrides: Partial<Estimate> = {}): Estimate => ({
  data: null,
  memory: {
    bytes: 4_500_000_000,
    sharedBytes: 3_000_000_000,
    parts: { base: 3_000_000_000, gradients: 1_500_000_000 },
  },
  operations: 1.5e15,
  devices: [],
  servability: {
    peft: { servable: true, reason: null },
    vllm: { servable: true, reason: null },
    lorax: { servable: false, reason: 'no' },
    llamaCpp: { servable: true, reason: null },
  },
  proposals: [],
  warnings: [],
  ...overrides,
});

/** What JobRepository.insert takes. */
export function makeJob(
  baseModel: BaseModel,
  dataset: Dataset,
  overrides: Partial<Omit<NewJob, 'baseModel' | 'dataset'>> = {},
): NewJob {
  const createdAt = overrides.createdAt ?? at;
  return {
    id: randomIds.make('job'),
    baseModel: { id: baseModel.id, name: baseModel.name, revision: baseModel.revision },
    dataset: { id: dataset.id, filename: dataset.filename, sha256: dataset.sha256 },
    validationDataset: null,
    adapter: 'captain',
    recipe: makeRecipe(),
    initFrom: null,
    metadata: {},
    createdAt,
    priority: 0,
    placement: { deviceClasses: null, memoryBytes: null },
    notBefore: null,
    deadline: null,
    clonedFrom: null,
    sweep: null,
    work: training,
    queuedAt: createdAt,
    rankAt: createdAt,
    estimate: null,
    ...overrides,
  };
}

/** Has a job at its first attempt be in any state, and writes the patch. */
export const putInState = (
  { move }: Pick<JobRepository, 'move'>,
  id: string,
  state: JobState,
  patch: JobPatch = {},
): Promise<boolean> => move(id, 1, state, { at, level: 'info', message: `It is ${state}.` }, patch);

/** What a worker says of itself. */
export const makeWorker = (overrides: Partial<WorkerFacts> = {}): WorkerFacts => ({
  id: randomIds.make('worker'),
  hostname: 'alfa',
  slots: 2,
  device: 'cpu avx2',
  deviceClass: 'cpu',
  memoryBytes: 2 ** 36,
  threads: 16,
  operationsPerSecond: 2.5e11,
  wakeUpVersion,
  usage: null,
  seenAt: at,
  ...overrides,
});

export const makeEvent = (overrides: Partial<Omit<JobEvent, 'seq'>> = {}): Omit<JobEvent, 'seq'> => ({
  at,
  epoch: 1,
  level: 'info',
  type: 'message',
  message: 'hello',
  state: null,
  ...overrides,
});

export const makeMetric = (overrides: Partial<JobMetric> = {}): JobMetric => ({
  step: 1,
  at,
  kind: 'train',
  loss: 2.5,
  learningRate: 2e-4,
  gradNorm: 0.7,
  tokensPerSecond: 1234.5,
  epochs: 0.1,
  accuracy: null,
  rewardMargin: 0.25,
  ...overrides,
});

export const makeVersionMetrics = (overrides: Partial<VersionMetrics> = {}): VersionMetrics => ({
  steps: 100,
  skippedSteps: 0,
  rollbacks: 0,
  trainedTokens: 36_000,
  trainLoss: 1.2,
  evalLossBefore: 2.9,
  evalLossAfter: 1.3,
  evalAccuracyBefore: 0.4,
  evalAccuracyAfter: 0.7,
  seconds: 60.5,
  peakMemoryBytes: 4_500_000_000,
  ...overrides,
});

/** What a trainer of that job publishes. */
export const makeManifest = (
  job: Pick<Job, 'id' | 'baseModel' | 'dataset' | 'adapter' | 'recipe'>,
  overrides: Partial<Manifest> = {},
): Manifest => ({
  format: 1,
  jobId: job.id,
  epoch: 1,
  adapter: job.adapter,
  baseModel: job.baseModel,
  dataset: { id: job.dataset.id, sha256: job.dataset.sha256 },
  recipe: job.recipe,
  parents: [],
  templateSha256: sha256('template'),
  metrics: makeVersionMetrics(),
  certificate: null,
  checkpointStep: null,
  files: [
    { path: 'adapter_config.json', sha256: sha256('adapter config'), bytes: 700 },
    { path: 'adapter_model.safetensors', sha256: sha256('adapter'), bytes: 4_000_000_000 },
  ],
  ...overrides,
});

export const makeCertificate = (overrides: Partial<Certificate> = {}): Certificate => ({
  ...{ rows: 20, rowsFrom: 'held-out', tokens: 900, klMean: 0.0005, klMax: 0.02, agreement: 0.995 },
  thresholds: parityThresholds.merged,
  passed: true,
  ...overrides,
});

/** What a trainer of that job publishes, of a version exported as a merged model. */
export const makeExportManifest = (
  job: Pick<Job, 'id'>,
  versionId: string,
  overrides: Partial<ExportManifest> = {},
): ExportManifest => ({
  ...{ format: 1, jobId: job.id, epoch: 1, versionId, exportFormat: 'merged' },
  certificate: makeCertificate(),
  files: [{ path: 'model.safetensors', sha256: sha256('merged'), bytes: 6_000_000_000 }],
  ...overrides,
});

export const makeGate = (
  dataset: Pick<Dataset, 'id' | 'filename' | 'sha256'>,
  overrides: Partial<Gate> = {},
): Gate => ({
  ...{ adapter: 'captain', alias: 'prod' },
  dataset: { id: dataset.id, filename: dataset.filename, sha256: dataset.sha256 },
  checks: [
    { measure: { metric: 'loss' }, threshold: 1.5, direction: 'at-most' },
    { measure: { metric: 'exact-match', ignoreCase: false }, threshold: 0.75, direction: 'at-least' },
  ],
  limits: { maxRows: 200, maxTokens: 256, sequenceLength: 2048 },
  ...{ createdAt: '2026-01-01T00:00:00.000Z', createdBy: 'key_1' },
  ...overrides,
});

/** What a trainer of that job publishes: a loss of 1.25, and 80 % of answers that are the rows' own. */
export const makeEvaluationManifest = (
  job: Pick<Job, 'id'>,
  versionId: string,
  overrides: Partial<EvaluationManifest> = {},
): EvaluationManifest => ({
  ...{ format: 1, jobId: job.id, epoch: 1, versionId, rows: 10 },
  results: [
    { measure: { metric: 'loss' }, value: 1.25, count: 300, failures: [] },
    {
      ...{ measure: { metric: 'exact-match', ignoreCase: false }, value: 0.8, count: 10 },
      failures: [{ row: 3, answer: 'no\0', problem: 'expected yes' }],
    },
  ],
  ...overrides,
});
