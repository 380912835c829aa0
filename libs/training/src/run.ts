import {
  LowrankError,
  type DatasetFormat,
  type JobMetric,
  type Recipe,
  type VersionMetrics,
} from '@lowrank/contracts';
import { loadChatTokenizer, type ChatTokenizer, type EncodedRow } from '@lowrank/datasets';
import { openKernels, type Adapter, type Base, type Kernels } from '@lowrank/kernels';
import { chooseStorage, loadTokens, openQuantizedBase, storageName } from './caches';
import { modelCard } from './card';
import { loadCheckpoint, saveCheckpoint } from './checkpoint';
import { isCancelled, publicError } from './errors';
import { sha256 } from './files';
import { freshProgress, train, type Progress } from './loop';
import { sequencesPerRow, toPairs } from './pairs';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapterConfig, adapterWeights } from './peft';
import { evaluationBatches, planTraining, type Plan } from './plan';
import { withReference } from './reference';
import { sampleOutputs } from './samples';
import { splitRows, toSequences, type Batch, type Sequence } from './sequences';
import { adapterSpec } from './targets';

export type StopReason = 'cancel' | 'drain';

/** Rejection of runTraining after its signal was aborted. */
export class TrainingStopped extends Error {
  constructor(readonly reason: StopReason) {
    super(`training was stopped: ${reason}`);
  }
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
  dataset: { file: string; sha256: string; format: DatasetFormat };
  maxLineBytes: number;
  cacheDir: string;
  /** Folder of this job's checkpoints. */
  checkpointsDir: string;
  threads: number;
  /** Aborted with a StopReason: `drain` writes a checkpoint before the rejection. */
  signal: AbortSignal;
  onMessage(level: 'info' | 'warn', message: string): void;
  onPlan(totalSteps: number, resumedFromStep: number): void;
  onMetric(metric: JobMetric, trainedTokens: number): void;
  onCheckpoint(step: number, sha256: string): void;
}

/** A trained adapter as it is to be published. */
export interface TrainedAdapter {
  files: { path: string; bytes: Uint8Array }[];
  metrics: VersionMetrics;
  templateSha256: string;
}

interface Data {
  plan: Plan;
  evaluation: Batch[];
  /** For samples: of a preference, the chosen answers. */
  held: EncodedRow[];
}

/** `rows`: conversations of the dataset's rows, as many of each as sequencesPerRow says. */
async function prepareData(
  rows: readonly EncodedRow[],
  complete: (sequences: Sequence[]) => Promise<Sequence[]>,
  { recipe, onMessage }: RunOptions,
): Promise<Data> {
  const together = sequencesPerRow(recipe);
  const count = rows.length / together;
  const { train: kept, held } = splitRows(count, recipe.evaluation.fraction, recipe.training.seed);
  const pick = (indices: number[]) =>
    indices.flatMap((index) => rows.slice(index * together, (index + 1) * together));
  const heldRows = pick(held);
  const toSet = together === 2 ? toPairs : toSequences;
  const trainSet = toSet(pick(kept), recipe.training, kept);
  const heldSet = toSet(heldRows, recipe.training, held);
  for (const [affected, what] of [
    [trainSet.truncated + heldSet.truncated, `were cut to ${recipe.training.sequenceLength} tokens`],
    [trainSet.dropped + heldSet.dropped, 'were left out: too long, or nothing to learn in them'],
  ] as const) {
    if (affected > 0) onMessage('warn', `${affected} of ${count} rows ${what}`);
  }
  const plan = planTraining(await complete(trainSet.sequences), recipe);
  onMessage(
    'info',
    `${trainSet.sequences.length} sequences in ${plan.rows} packed rows, ${Math.round(plan.fill * 100)} % full; ${heldSet.sequences.length} held out`,
  );
  const evaluation = evaluationBatches(await complete(heldSet.sequences), recipe);
  return { plan, evaluation, held: heldRows.filter((_, i) => i % together === 0) };
}

async function openBase(kernels: Kernels, options: RunOptions): Promise<Base> {
  const { base, recipe, cacheDir, signal, onMessage } = options;
  const fetchWeights = async () => {
    onMessage('info', 'preparing the base model; later jobs that keep it the same way skip this');
    await base.fetchWeights();
    return base.dir;
  };
  const storage = await chooseStorage(base.dir, recipe.base);
  if (storageName(storage) !== storageName(recipe.base)) {
    onMessage(
      'warn',
      `the base model comes quantized as ${storageName(storage)} and stays so; the recipe's ${storageName(recipe.base)} was not used`,
    );
  }
  const opened = await openQuantizedBase(
    kernels,
    fetchWeights,
    { key: base.key, storage, cacheDir },
    { signal },
  );
  const { maxPositions } = opened.info;
  if (recipe.training.sequenceLength <= maxPositions) return opened;
  opened.close();
  throw new LowrankError(
    'recipe_invalid',
    `training.sequenceLength is ${recipe.training.sequenceLength}, the base model's context ${maxPositions}`,
  );
}

/** Everything that decides the trained bytes: a checkpoint of a run with another identity is of no use. */
function runIdentity({ recipe, base, dataset }: RunOptions, tokenizer: ChatTokenizer): string {
  return sha256(JSON.stringify([recipe, base.key, dataset.sha256, dataset.format, tokenizer.fingerprint]));
}

/** Trains from the newest checkpoint, or from the start, to the end. */
async function trainAdapter(
  base: Base,
  adapter: Adapter,
  data: Data,
  run: string,
  options: RunOptions,
): Promise<Progress> {
  const { recipe, checkpointsDir, signal, onMetric, onMessage } = options;
  const checkpoint = await loadCheckpoint(checkpointsDir, run, (name) =>
    onMessage('warn', `checkpoint ${name} is damaged or of another run and was passed over`),
  );
  if (checkpoint !== null) adapter.importState(checkpoint.state);
  let current = checkpoint?.progress ?? freshProgress;
  let saved = current.step;
  const save = async (progress: Progress) => {
    const hash = await saveCheckpoint(checkpointsDir, run, { progress, state: adapter.exportState() });
    saved = progress.step;
    options.onCheckpoint(progress.step, hash);
  };
  options.onPlan(data.plan.totalSteps, current.step);
  try {
    return await train({
      base,
      adapter,
      recipe,
      plan: data.plan,
      evaluation: data.evaluation,
      progress: current,
      signal,
      onMetric,
      onWarning: (message) => onMessage('warn', message),
      onCheckpoint: save,
      onProgress: (progress) => {
        current = progress;
      },
    });
  } catch (error) {
    // After any other error the adapter may be a step ahead of `current`.
    if (isStop(error, signal) && signal.reason === 'drain' && current.step > saved) await save(current);
    throw error;
  }
}

/** Whether an error is the answer to the signal, not a failure that came at the same time. */
function isStop(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && (error === signal.reason || isCancelled(error));
}

function metricsOf(progress: Progress): VersionMetrics {
  const { evalBefore, evalAfter } = progress;
  if (progress.lossTokens === 0)
    throw new LowrankError('loss_not_finite', 'every update of the last tenth of the steps was discarded');
  return {
    steps: progress.step,
    skippedSteps: progress.skippedSteps,
    trainedTokens: progress.trainedTokens,
    trainLoss: progress.lossSum / progress.lossTokens,
    evalLossBefore: evalBefore?.loss ?? null,
    evalLossAfter: evalAfter?.loss ?? null,
    evalAccuracyBefore: evalBefore?.accuracy ?? null,
    evalAccuracyAfter: evalAfter?.accuracy ?? null,
    seconds: progress.seconds,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  };
}

/**
 * One attempt's work, from files on this machine to the files of a version: quantized base, tokens, plan, training, export.
 * Goes on from the newest checkpoint of the same run in checkpointsDir; the adapter's bytes do not depend on interruptions or on
 * the number of threads.
 * Throws TrainingStopped after its signal, else LowrankError with the reason as users see it.
 */
export async function runTraining(options: RunOptions): Promise<TrainedAdapter> {
  const { recipe, signal, threads } = options;
  const opened: { close(): void }[] = [];
  const closing = <T extends { close(): void }>(handle: T): T => {
    opened.unshift(handle);
    return handle;
  };
  try {
    signal.throwIfAborted();
    const kernels = closing(openKernels({ threads, compute: recipe.training.compute }));
    const base = closing(await openBase(kernels, options));
    const tokenizer = await loadChatTokenizer(options.base.dir);
    const rows = await loadTokens({
      ...options.dataset,
      tokenizerDir: options.base.dir,
      fingerprint: tokenizer.fingerprint,
      maxLineBytes: options.maxLineBytes,
      cacheDir: options.cacheDir,
      signal,
    });
    const complete = (sequences: Sequence[]) =>
      recipe.objective.type === 'dpo'
        ? withReference(base, sequences, { ...options, key: [options.base.key, kernels.info.isa] })
        : Promise.resolve(sequences);
    const data = await prepareData(rows, complete, options);
    const adapter = closing(base.createAdapter(adapterSpec(base.info.linears, recipe)));
    const progress = await trainAdapter(base, adapter, data, runIdentity(options, tokenizer), options);
    return await exportAdapter(base, adapter, tokenizer, data.held, progress, options);
  } catch (error) {
    if (isStop(error, signal)) throw new TrainingStopped(signal.reason as StopReason);
    throw publicError(error);
  } finally {
    for (const handle of opened) handle.close();
  }
}

async function exportAdapter(
  base: Base,
  adapter: Adapter,
  tokenizer: ChatTokenizer,
  held: readonly EncodedRow[],
  progress: Progress,
  options: RunOptions,
): Promise<TrainedAdapter> {
  const { recipe, dataset, signal } = options;
  const { source, revision } = options.base;
  const metrics = metricsOf(progress);
  const { templateSha256 } = tokenizer;
  const { adapter: name } = options;
  const card = { adapter: name, source, revision, dataset, recipe, base: base.info, metrics, templateSha256 };
  const files = [
    { path: ADAPTER_WEIGHTS, bytes: adapterWeights(adapter) },
    { path: ADAPTER_CONFIG, bytes: Buffer.from(adapterConfig(base, recipe, source, revision)) },
    { path: 'README.md', bytes: Buffer.from(modelCard(card)) },
  ];
  if (held.length > 0) {
    const samples = await sampleOutputs(base, adapter, tokenizer, held, signal);
    files.push({ path: 'samples.json', bytes: Buffer.from(`${JSON.stringify(samples, null, 2)}\n`) });
  }
  return { files, metrics, templateSha256 };
}
