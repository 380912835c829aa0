import {
  LowrankError,
  type BaseStorage,
  type DatasetFormat,
  type JobMetric,
  type Recipe,
  type VersionMetrics,
} from '@lowrank/contracts';
import { loadChatTokenizer, type ChatTokenizer, type EncodedRow } from '@lowrank/datasets';
import { spanned } from '@lowrank/telemetry';
import { type Adapter, type Base, type Kernels } from '@lowrank/kernels';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseStorage, loadTokens, openQuantizedBase, storageName } from './caches';
import { modelCard } from './card';
import { loadCheckpoint, saveCheckpoint } from './checkpoint';
import { openDevice } from './device';
import { isCancelled, publicError } from './errors';
import { sha256 } from './files';
import { inTurn } from './in-turn';
import { Diverged, freshProgress, train, type Progress } from './loop';
import { adapterConfig, adapterWeights, loadAdapter, loadWeights, type StartingPoint } from './peft';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from './peft-config';
import { prepareData, type Data } from './prepare-data';
import { withReference } from './reference';
import { sampleOutputs } from './samples';
import { type Sequence } from './sequences';
import { type OpenedBase, type SharedBases } from './shared-bases';
import { adapterSpec } from './targets';
import { versionMetrics } from './version-metrics';

export type StopReason = 'cancel' | 'drain';

/** Rejection of runTraining after its signal was aborted. */
export class TrainingStopped extends Error {
  constructor(readonly reason: StopReason) {
    super(`training was stopped: ${reason}`);
  }
}

export interface DatasetFile {
  file: string;
  sha256: string;
  format: DatasetFormat;
}

export interface RunOptions {
  recipe: Recipe;
  /** Name of the adapter, for its card. */
  adapter: string;
  base: {
    /** For adapter_config.json and the card. */
    source: string;
    revision: string;
    /** modelKey of its files. */
    key: string;
    /** Folder with configuration and tokenizer. */
    dir: string;
    /** Completes the folder with the weights: called only when the quantized base has to be written. */
    fetchWeights(): Promise<void>;
  };
  /** Left out or null: it starts as the recipe says. */
  initFrom?: StartingPoint | null;
  dataset: DatasetFile;
  /** What it is evaluated on; left out or null: rows held out of the dataset. */
  validationDataset?: DatasetFile | null;
  maxLineBytes: number;
  cacheDir: string;
  /** Folder of this job's checkpoints. */
  checkpointsDir: string;
  threads: number;
  /** Bases that it shares with other runs of this process, which train together then; none: it trains alone. */
  bases?: SharedBases;
  /** Aborted with a StopReason: `drain` writes a checkpoint before the rejection. */
  signal: AbortSignal;
  onMessage(level: 'info' | 'warn', message: string): void;
  /** With the metrics up to the step that nobody has said to be written; only a checkpoint has any. */
  onPlan(totalSteps: number, resumedFromStep: number, metrics: JobMetric[]): void;
  onMetric(metric: JobMetric, trainedTokens: number): void;
  onCheckpoint(step: number, sha256: string): void;
  /** Step up to which all metrics are written for good. Checkpoints bring along those beyond it. By default everything is written. */
  writtenStep?(): number;
  /**
   * Called before training begins with the run's identity and the step of its newest checkpoint here, 0 without one: puts one that is
   * further into checkpointsDir, if there is such a one elsewhere, and says whether it did.
   */
  fetchCheckpoint?(run: string, beyond: number): Promise<boolean>;
}

/** A trained adapter as it is to be published. */
export interface TrainedAdapter {
  files: { path: string; bytes: Uint8Array }[];
  metrics: VersionMetrics;
  templateSha256: string;
}

/** How the base is kept: as the recipe asks for, unless the model comes quantized. */
async function storageOf({ base, recipe, onMessage }: RunOptions): Promise<BaseStorage> {
  const storage = await chooseStorage(base.dir, recipe.base);
  if (storageName(storage) !== storageName(recipe.base))
    onMessage(
      'warn',
      `the base model comes quantized as ${storageName(storage)} and stays so; the recipe's ${storageName(recipe.base)} was not used`,
    );
  return storage;
}

async function openBase(kernels: Kernels, storage: BaseStorage, options: RunOptions): Promise<Base> {
  const { base, cacheDir, signal, onMessage } = options;
  const fetchWeights = async () => {
    onMessage('info', 'preparing the base model; later jobs that keep it the same way skip this');
    await base.fetchWeights();
    return base.dir;
  };
  return openQuantizedBase(kernels, fetchWeights, { key: base.key, storage, cacheDir }, { signal });
}

/** The base in a kernel context of its own, whose memory is free again once it is closed. */
async function openContext(storage: BaseStorage, options: RunOptions): Promise<OpenedBase> {
  const { recipe, threads, signal } = options;
  signal.throwIfAborted();
  const kernels = openDevice({ threads, compute: recipe.training.compute });
  try {
    const base = await spanned('quantize', () => openBase(kernels, storage, options));
    const close = () => {
      base.close();
      kernels.close();
    };
    return { base, kernels, close };
  } catch (error) {
    kernels.close();
    throw error;
  }
}

type UseOfBase<T> = (base: Base, kernels: Kernels) => Promise<T>;

async function withBase<T>(storage: BaseStorage, options: RunOptions, use: UseOfBase<T>): Promise<T> {
  const { base, kernels, close } = await openContext(storage, options);
  try {
    return await use(base, kernels);
  } finally {
    close();
  }
}

/** With the base that the runs of this process train on together, if they do. */
function withSharedBase<T>(storage: BaseStorage, options: RunOptions, use: UseOfBase<T>): Promise<T> {
  const { bases, base, recipe, threads } = options;
  if (bases === undefined) return withBase(storage, options, use);
  const key = [base.key, storageName(storage), recipe.training.compute, threads].join();
  return bases.use(key, () => openContext(storage, options), use);
}

function assertWithinContext({ info: { maxPositions } }: Base, { training }: Recipe): void {
  if (training.sequenceLength > maxPositions)
    throw new LowrankError(
      'recipe_invalid',
      `training.sequenceLength is ${training.sequenceLength}, the base model's context ${maxPositions}`,
    );
}

/** Everything that decides the trained bytes: a checkpoint of a run with another identity is of no use. */
function runIdentity(
  { recipe, base, dataset, validationDataset, initFrom }: RunOptions,
  tokenizer: ChatTokenizer,
): string {
  const parts: unknown[] = [recipe, base.key, dataset.sha256, dataset.format, tokenizer.fingerprint];
  if (initFrom) parts.push(initFrom.key);
  // Evaluations are part of what is published.
  if (validationDataset) parts.push({ validation: [validationDataset.sha256, validationDataset.format] });
  return sha256(JSON.stringify(parts));
}

/** A diverged run goes back to its last checkpoint this often; then it fails. */
const MAX_ROLLBACKS = 2;

/**
 * Trains from the newest checkpoint, or from the start, to the end. A run that diverges goes back to its last checkpoint, with half of the
 * learning rate; that is written down at once, so that a run that is killed does the same. The checkpoint of a pause is one too: paused
 * shortly before it diverges, a run goes back less far than it would have.
 */
async function trainAdapter(
  base: Base,
  adapter: Adapter,
  data: Data,
  run: string,
  options: RunOptions,
): Promise<Progress> {
  const { recipe, checkpointsDir, signal, onMetric, onMessage, writtenStep = () => Infinity } = options;
  const load = () =>
    loadCheckpoint(checkpointsDir, run, (name) =>
      onMessage('warn', `checkpoint ${name} is damaged or of another run and was passed over`),
    );
  let checkpoint = await load();
  if (await options.fetchCheckpoint?.(run, checkpoint?.progress.step ?? 0)) checkpoint = await load();
  let state = checkpoint?.state; // of the last checkpoint, or the start; the same memory for all of them
  if (state === undefined) state = adapter.exportState();
  else adapter.importState(state);
  let current = checkpoint?.progress ?? freshProgress;
  let saved = current;
  let unwritten = checkpoint?.metrics ?? [];
  const save = (progress: Progress) =>
    spanned('checkpoint', async (span) => {
      span.setAttribute('lowrank.step', progress.step);
      const written = (state = adapter.exportState(state));
      unwritten = unwritten.filter(({ step }) => step > writtenStep() && step <= progress.step);
      const hash = await saveCheckpoint(checkpointsDir, run, {
        progress,
        state: written,
        metrics: unwritten,
      });
      saved = progress;
      options.onCheckpoint(progress.step, hash);
    });
  const goBack = async ({ message }: Diverged): Promise<void> => {
    const rollbacks = saved.rollbacks + 1;
    onMessage(
      'warn',
      `${message}: back to step ${saved.step}, with half of the learning rate (${rollbacks} of ${MAX_ROLLBACKS} times)`,
    );
    adapter.importState(state as Uint8Array);
    current = { ...saved, rollbacks, skippedInRow: 0, seconds: current.seconds };
    await save(current);
  };
  for (;;) {
    options.onPlan(data.plan.totalSteps, current.step, [...unwritten]);
    try {
      return await train({
        base,
        adapter,
        isContinued: Boolean(options.initFrom),
        recipe,
        plan: data.plan,
        evaluation: data.evaluation,
        progress: current,
        signal,
        onMetric: (metric, trainedTokens) => {
          unwritten.push(metric);
          onMetric(metric, trainedTokens);
        },
        onWarning: (message) => onMessage('warn', message),
        onCheckpoint: save,
        onProgress: (progress) => {
          current = progress;
        },
      });
    } catch (error) {
      // After an error that is no stop the adapter may be a step ahead of `current`.
      const isDrain = isStop(error, signal) && signal.reason === 'drain';
      if (isDrain && current.step > saved.step) await save(current);
      if (!(error instanceof Diverged) || saved.rollbacks === MAX_ROLLBACKS) throw error;
      await goBack(error);
    }
  }
}

/** Whether an error is the answer to the signal, not a failure that came at the same time. */
function isStop(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && (error === signal.reason || isCancelled(error));
}

/** What training leaves: the version but for its samples, and what these are made from. */
interface Trained extends TrainedAdapter {
  tokenizer: ChatTokenizer;
  held: EncodedRow[];
}

async function trainVersion(base: Base, kernels: Kernels, options: RunOptions): Promise<Trained> {
  const { recipe } = options;
  assertWithinContext(base, recipe);
  const tokenizer = await loadChatTokenizer(options.base.dir);
  const tokensOf = (dataset: DatasetFile) => ({
    ...dataset,
    tokenizerDir: options.base.dir,
    fingerprint: tokenizer.fingerprint,
    maxLineBytes: options.maxLineBytes,
    cacheDir: options.cacheDir,
    signal: options.signal,
  });
  const { rows, validation } = await spanned('tokenize', async () => {
    const own = await loadTokens(tokensOf(options.dataset));
    const other = options.validationDataset ? await loadTokens(tokensOf(options.validationDataset)) : [];
    return { rows: [...own, ...other], validation: other.length };
  });
  const complete = (sequences: Sequence[]) =>
    recipe.objective.type === 'dpo'
      ? withReference(base, sequences, { ...options, key: [options.base.key, kernels.info.isa] })
      : Promise.resolve(sequences);
  const data = await prepareData(rows, validation, complete, options);
  const adapter = base.createAdapter(adapterSpec(base.info.linears, recipe));
  try {
    if (options.initFrom) await loadWeights(adapter, options.initFrom.dir);
    const run = runIdentity(options, tokenizer);
    const progress = await spanned('train', () => trainAdapter(base, adapter, data, run, options));
    const trained = exportAdapter(base, adapter, tokenizer, progress, options);
    return { ...trained, tokenizer, held: data.held };
  } finally {
    adapter.close();
  }
}

function exportAdapter(
  base: Base,
  adapter: Adapter,
  { templateSha256 }: ChatTokenizer,
  progress: Progress,
  options: RunOptions,
): TrainedAdapter {
  const { recipe, dataset, adapter: name } = options;
  const { source, revision } = options.base;
  const weights = adapterWeights(adapter);
  const metrics = versionMetrics(progress);
  const made = { dataset, initFrom: options.initFrom ?? null, recipe, metrics, templateSha256 };
  const card = { adapter: name, source, revision, base: base.info, ...made };
  return {
    files: [
      { path: ADAPTER_WEIGHTS, bytes: weights },
      { path: ADAPTER_CONFIG, bytes: Buffer.from(adapterConfig(base, recipe, source, revision)) },
      { path: 'README.md', bytes: Buffer.from(modelCard(card)) },
    ],
    metrics,
    templateSha256,
  };
}

/** samples.json, by what is published: loaded as anyone would load it. */
async function makeSamples(
  base: Base,
  { files, tokenizer, held }: Trained,
  { recipe, checkpointsDir, signal }: RunOptions,
): Promise<Buffer> {
  const folder = await mkdtemp(join(checkpointsDir, 'published-'));
  try {
    for (const { path, bytes } of files) await writeFile(join(folder, path), bytes);
    const adapter = await loadAdapter(base, folder);
    try {
      const most = recipe.training.sequenceLength;
      const samples = await sampleOutputs(base, adapter, tokenizer, held, { longestPrompt: most, signal });
      return Buffer.from(`${JSON.stringify(samples, null, 2)}\n`);
    } finally {
      adapter.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * One attempt's work, from files on this machine to the files of a version: quantized base, tokens, plan, training, export.
 * Goes on from the newest checkpoint of the same run in checkpointsDir; the adapter's bytes do not depend on interruptions or on
 * the number of threads.
 * Throws TrainingStopped after its signal, else LowrankError with the reason as users see it.
 */
export async function runTraining(options: RunOptions): Promise<TrainedAdapter> {
  const { signal } = options;
  try {
    signal.throwIfAborted();
    const storage = await storageOf(options);
    const trained = await withSharedBase(storage, options, (base, kernels) =>
      trainVersion(base, kernels, options),
    );
    const { files, metrics, templateSha256, held } = trained;
    if (held.length > 0) {
      // Of runs in one process one makes samples at a time: it takes memory that was not counted for each of them.
      const bytes = await inTurn('samples', () =>
        withBase(storage, options, (base) => makeSamples(base, trained, options)),
      );
      files.push({ path: 'samples.json', bytes });
    }
    return { files, metrics, templateSha256 };
  } catch (error) {
    if (isStop(error, signal)) throw new TrainingStopped(signal.reason as StopReason);
    throw publicError(error);
  }
}
