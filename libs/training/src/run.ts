import { LowrankError, type BaseStorage, type Recipe, type VersionMetrics } from '@lowrank/contracts';
import { loadChatTokenizer, type ChatTokenizer } from '@lowrank/datasets';
import { spanned } from '@lowrank/telemetry';
import { type Adapter, type AdapterSpec, type Base, type Kernels } from '@lowrank/kernels';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseStorage, loadTokens, openQuantizedBase, quantizedBasePath, storageName } from './caches';
import { modelCard } from './card';
import { openDevice } from './device';
import { publicError } from './errors';
import { sha256 } from './files';
import { inTurn } from './in-turn';
import { adapterConfig, adapterWeights, loadAdapter, loadWeights } from './peft';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from './peft-config';
import { prepareData } from './prepare-data';
import { type JoinedRanks } from './ranks';
import { withReference } from './reference';
import {
  type DatasetFile,
  isStop,
  type RunOptions,
  type StopReason,
  type TrainedAdapter,
  TrainingStopped,
} from './run-options';
import { answersTo, sampleOutputs, type SamplePrompt, samplePrompts } from './samples';
import { type Sequence } from './sequences';
import { type OpenedBase } from './shared-bases';
import { adapterSpec } from './targets';
import { trainAdapter } from './train-adapter';
import { versionMetrics } from './version-metrics';

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
  // How many states and which answers are kept decides nothing.
  const { everySteps } = recipe.checkpoints;
  const decisive = { ...recipe, samples: undefined, checkpoints: { everySteps } };
  const parts: unknown[] = [decisive, base.key, dataset.sha256, dataset.format, tokenizer.fingerprint];
  if (initFrom) parts.push(initFrom.key);
  // Evaluations are part of what is published.
  if (validationDataset) parts.push({ validation: [validationDataset.sha256, validationDataset.format] });
  return sha256(JSON.stringify(parts));
}

/** With the other ranks, if there are any, as long as it trains. */
async function withRanks<T>(
  kernels: Kernels,
  spec: AdapterSpec,
  storage: BaseStorage,
  { ranks, base, cacheDir, recipe, threads }: RunOptions,
  use: (ranks?: JoinedRanks) => Promise<T>,
): Promise<T> {
  if (ranks === undefined) return use();
  const file = quantizedBasePath({ key: base.key, storage, cacheDir });
  const joined = await ranks.join(kernels, { file, threads, compute: recipe.training.compute, spec, recipe });
  try {
    return await use(joined);
  } finally {
    await joined.close();
  }
}

/** What training leaves: the version but for its samples, and what these are made from. */
interface Trained extends TrainedAdapter {
  tokenizer: ChatTokenizer;
  prompts: SamplePrompt[];
}

async function trainVersion(
  base: Base,
  kernels: Kernels,
  storage: BaseStorage,
  options: RunOptions,
): Promise<Trained> {
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
  const spec = adapterSpec(base.info.linears, recipe);
  const adapter = base.createAdapter(spec);
  try {
    if (options.initFrom) await loadWeights(adapter, options.initFrom.dir);
    const run = runIdentity(options, tokenizer);
    const { maxPositions } = base.info;
    const prompts = samplePrompts(tokenizer, data.held, { ...options, maxPositions });
    const exported = (metrics: VersionMetrics) => exportAdapter(base, adapter, tokenizer, metrics, options);
    const sampling = { maxTokens: recipe.samples.maxTokens, signal: options.signal };
    const answers = (isBare: boolean) =>
      inTurn('samples', () => answersTo(base, isBare ? null : adapter, tokenizer, prompts, sampling));
    const train = (ranks?: JoinedRanks) =>
      trainAdapter(base, adapter, data, run, { exported, answers, ranks }, options);
    const progress = await spanned('train', () => withRanks(kernels, spec, storage, options, train));
    return { ...exported(versionMetrics(progress)), tokenizer, prompts };
  } finally {
    adapter.close();
  }
}

function exportAdapter(
  base: Base,
  adapter: Adapter,
  { templateSha256 }: ChatTokenizer,
  metrics: VersionMetrics,
  options: RunOptions,
): TrainedAdapter {
  const { recipe, dataset, adapter: name } = options;
  const { source, revision } = options.base;
  const weights = adapterWeights(adapter, recipe.lora.dtype);
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
  { files, tokenizer, prompts }: Trained,
  { recipe, checkpointsDir, signal }: RunOptions,
): Promise<Buffer> {
  const folder = await mkdtemp(join(checkpointsDir, 'published-'));
  try {
    for (const { path, bytes } of files) await writeFile(join(folder, path), bytes);
    const adapter = await loadAdapter(base, folder);
    try {
      const { maxTokens } = recipe.samples;
      const samples = await sampleOutputs(base, adapter, tokenizer, prompts, { maxTokens, signal });
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
      trainVersion(base, kernels, storage, options),
    );
    const { files, metrics, templateSha256, prompts } = trained;
    if (prompts.length > 0) {
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
