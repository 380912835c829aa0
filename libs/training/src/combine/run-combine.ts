import {
  type CombinationCertificate,
  combinationParity,
  type CombineSettings,
  type ParityThresholds,
  type Recipe,
  type VersionMetrics,
} from '@lowrank/contracts';
import { loadChatTokenizer } from '@lowrank/datasets';
import { type Base } from '@lowrank/kernels';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseStorage, openQuantizedBase } from '../caches';
import { openDevice } from '../device';
import { isCancelled, publicError } from '../errors';
import { loadMeasured, type MeasuredData, type MeasuredRows } from '../held-out';
import { evaluate } from '../loop';
import { adapterOf, assertParity, certify, compareAnswers } from '../parity';
import { loadAdapter } from '../peft';
import { evaluationBatches } from '../plan';
import { type RunOptions, type TrainedAdapter } from '../run-options';
import { toSequences } from '../sequences';
import { peakMemoryBytes } from '../version-metrics';
import { sumOf } from './combine';
import { type CombinedFolder, combineFolders } from './folders';
import { type Pairs } from './pairs';

export type RunCombineOptions = Pick<RunOptions, 'adapter' | 'base' | 'threads'> &
  MeasuredData & {
    /** Each version's files in a folder of its own, and what it is called. */
    parents: readonly { folder: string; name: string }[];
    settings: CombineSettings;
    thresholds: ParityThresholds;
    /** Folder for the result, which is made. */
    into: string;
  };

/** Works on the base as the recipe keeps it. */
async function withBase<T>(
  { base, recipe, cacheDir, threads, signal }: RunCombineOptions,
  compute: Recipe['training']['compute'],
  work: (base: Base) => Promise<T>,
): Promise<T> {
  const kernels = openDevice({ threads, compute });
  try {
    const stored = { key: base.key, storage: await chooseStorage(base.dir, recipe.base), cacheDir };
    const fetched = async () => {
      await base.fetchWeights();
      return base.dir;
    };
    const opened = await openQuantizedBase(kernels, fetched, stored, { signal });
    try {
      return await work(opened);
    } finally {
      opened.close();
    }
  } finally {
    kernels.close();
  }
}

/** Loss of the bare base and of the result on the rows held out; null: there are none, or pairs. */
async function lossesOf(options: RunCombineOptions, { rows, held }: MeasuredRows) {
  const { recipe, signal, into } = options;
  const batches = evaluationBatches(toSequences(rows, recipe, held).sequences, recipe);
  if (batches.length === 0 || recipe.objective.type !== 'sft') return null;
  return withBase(options, recipe.training.compute, async (base) => {
    const adapter = await loadAdapter(base, into);
    try {
      return {
        before: await evaluate(base, null, batches, signal),
        after: await evaluate(base, adapter, batches, signal),
      };
    } finally {
      adapter.close();
    }
  });
}

/** Holds the files that were written, loaded as everybody loads them, against what they should be, in float32. */
function certifyFiles(
  options: RunCombineOptions,
  { adapters, pairs }: CombinedFolder,
  { compared, rowsFrom }: MeasuredRows,
): Promise<CombinationCertificate> {
  const { settings, thresholds, into, signal } = options;
  const { reference } = combinationParity[settings.method];
  const sum = sumOf(adapters, settings.weights);
  return withBase(options, 'f32', async (base) => {
    const result = await loadAdapter(base, into);
    const against = async (wanted: Pairs) => {
      const adapter = adapterOf(base, wanted);
      try {
        return await compareAnswers({ base, adapter }, { base, adapter: result }, compared, signal);
      } finally {
        adapter.close();
      }
    };
    try {
      const wanted = reference === 'sum' ? sum : pairs;
      const certificate = certify(await against(wanted), rowsFrom, thresholds);
      if (reference === 'sum') return { ...certificate, reference, sum: null };
      const { klMean, klMax, agreement } = await against(sum);
      return { ...certificate, reference, sum: { klMean, klMax, agreement } };
    } finally {
      result.close();
    }
  });
}

const wantedBy = {
  sum: 'the adapters do together with their weights',
  method: 'what the method makes of the adapters',
} as const;

function card(
  { adapter, parents, settings }: RunCombineOptions,
  { evalLossBefore, evalLossAfter }: VersionMetrics,
  { reference, klMean, agreement, rows, rowsFrom }: CombinationCertificate,
): string {
  const of = parents.map(({ name }, i) => `| ${name} | ${settings.weights[i]} |`);
  return [
    `# ${adapter}`,
    '',
    `Adapters combined by \`${settings.method}\`, not trained.`,
    '',
    '| of | weight |',
    '| --- | --- |',
    ...of,
    '',
    `Beside ${wantedBy[reference]}, on ${rows} rows${rowsFrom === 'training' ? ' that they were trained on' : ''}: the likeliest token is the same in ${(100 * agreement).toFixed(2)} %, the divergence ${klMean.toExponential(2)} nats on average.`,
    '',
    ...(evalLossAfter === null
      ? []
      : [
          `Held-out loss: ${evalLossBefore?.toFixed(4)} of the base, ${evalLossAfter.toFixed(4)} of this.`,
          '',
        ]),
  ].join('\n');
}

export interface CombinedAdapter extends TrainedAdapter {
  certificate: CombinationCertificate;
  /** The one that was given with the rank of the result, which was not trained. */
  recipe: Recipe;
}

/**
 * Combines versions of one base into the files of a new version, holds it against what it should be (docs/exports.md), and measures it on rows held out.
 * Throws LowrankError parity_failed below the thresholds, as combineFolders, or the signal's reason.
 */
export async function runCombine(options: RunCombineOptions): Promise<CombinedAdapter> {
  const { parents, settings, into, base, recipe, signal } = options;
  const started = performance.now();
  try {
    signal.throwIfAborted();
    const folders = parents.map(({ folder }) => folder);
    const combined = await combineFolders(folders, settings, into);
    const tokenizer = await loadChatTokenizer(base.dir);
    const measured = await loadMeasured(options, tokenizer);
    const certificate = await certifyFiles(options, combined, measured);
    assertParity(certificate, wantedBy[certificate.reference]);
    const losses = await lossesOf(options, measured);
    const { rank } = combined;
    const metrics: VersionMetrics = {
      ...{ steps: 0, skippedSteps: 0, rollbacks: 0, trainedTokens: 0, trainLoss: null },
      evalLossBefore: losses?.before.loss ?? null,
      evalLossAfter: losses?.after.loss ?? null,
      evalAccuracyBefore: losses?.before.accuracy ?? null,
      evalAccuracyAfter: losses?.after.accuracy ?? null,
      seconds: (performance.now() - started) / 1000,
      peakMemoryBytes: peakMemoryBytes(),
    };
    const files = [];
    for (const path of (await readdir(into)).sort())
      files.push({ path, bytes: await readFile(join(into, path)) });
    files.push({ path: 'README.md', bytes: Buffer.from(card(options, metrics, certificate)) });
    const plain = {
      rank,
      alpha: rank,
      rankPattern: {},
      alphaPattern: {},
      rsLora: false,
      init: 'default',
    } as const;
    return {
      ...{ files, metrics, certificate, templateSha256: tokenizer.templateSha256 },
      recipe: { ...recipe, lora: { ...recipe.lora, ...plain } },
    };
  } catch (error) {
    if (signal.aborted && isCancelled(error)) throw signal.reason;
    throw publicError(error);
  }
}
