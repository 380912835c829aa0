import { type CombineSettings, type Recipe, type VersionMetrics } from '@lowrank/contracts';
import { loadChatTokenizer, type ChatTokenizer } from '@lowrank/datasets';
import { sequencesPerRow, splitRows } from '@lowrank/domain';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseStorage, loadTokens, openQuantizedBase } from '../caches';
import { openDevice } from '../device';
import { isCancelled, publicError } from '../errors';
import { evaluate } from '../loop';
import { loadAdapter } from '../peft';
import { evaluationBatches } from '../plan';
import { type RunOptions, type TrainedAdapter } from '../run-options';
import { toSequences } from '../sequences';
import { peakMemoryBytes } from '../version-metrics';
import { combineFolders } from './folders';

export type RunCombineOptions = Pick<
  RunOptions,
  'adapter' | 'base' | 'dataset' | 'maxLineBytes' | 'recipe' | 'cacheDir' | 'threads' | 'signal'
> & {
  /** Each version's files in a folder of its own, and what it is called. */
  parents: readonly { folder: string; name: string }[];
  settings: CombineSettings;
  /** Folder for the result, which is made. */
  into: string;
};

/** Loss of the bare base and of the result on the rows that the recipe holds out; null: there are none, or pairs. */
async function heldOut(
  { base, dataset, recipe, maxLineBytes, cacheDir, threads, signal, into }: RunCombineOptions,
  { fingerprint }: ChatTokenizer,
) {
  const source = { ...dataset, tokenizerDir: base.dir, fingerprint, maxLineBytes, cacheDir, signal };
  const rows = await loadTokens(source);
  const { held } = splitRows(
    rows.length / sequencesPerRow(recipe),
    recipe.evaluation.fraction,
    recipe.training.seed,
  );
  const batches = evaluationBatches(toSequences(rows, recipe, held).sequences, recipe);
  const kernels = openDevice({ threads, compute: recipe.training.compute });
  try {
    const stored = { key: base.key, storage: await chooseStorage(base.dir, recipe.base), cacheDir };
    const fetched = async () => {
      await base.fetchWeights();
      return base.dir;
    };
    const opened = await openQuantizedBase(kernels, fetched, stored, { signal });
    // Loading it is a check too: what is published fits its base.
    const adapter = await loadAdapter(opened, into);
    try {
      if (batches.length === 0 || recipe.objective.type !== 'sft') return null;
      return {
        before: await evaluate(opened, null, batches, signal),
        after: await evaluate(opened, adapter, batches, signal),
      };
    } finally {
      adapter.close();
      opened.close();
    }
  } finally {
    kernels.close();
  }
}

function card(
  { adapter, parents, settings }: RunCombineOptions,
  { evalLossBefore, evalLossAfter }: VersionMetrics,
): string {
  const rows = parents.map(({ name }, i) => `| ${name} | ${settings.weights[i]} |`);
  return [
    `# ${adapter}`,
    '',
    `Adapters combined by \`${settings.method}\`, not trained.`,
    '',
    '| of | weight |',
    '| --- | --- |',
    ...rows,
    '',
    ...(evalLossAfter === null
      ? []
      : [
          `Held-out loss: ${evalLossBefore?.toFixed(4)} of the base, ${evalLossAfter.toFixed(4)} of this.`,
          '',
        ]),
  ].join('\n');
}

/**
 * Combines versions of one base into the files of a new version, and measures it on the rows that the recipe holds out. The recipe that
 * comes back is the one that was given with the rank of the result, which was not trained. Throws as combineFolders, or the signal's reason.
 */
export async function runCombine(options: RunCombineOptions): Promise<TrainedAdapter & { recipe: Recipe }> {
  const { parents, settings, into, base, recipe, signal } = options;
  const started = performance.now();
  try {
    signal.throwIfAborted();
    const folders = parents.map(({ folder }) => folder);
    const { rank } = await combineFolders(folders, settings, into);
    const tokenizer = await loadChatTokenizer(base.dir);
    const losses = await heldOut(options, tokenizer);
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
    files.push({ path: 'README.md', bytes: Buffer.from(card(options, metrics)) });
    const plain = {
      rank,
      alpha: rank,
      rankPattern: {},
      alphaPattern: {},
      rsLora: false,
      init: 'default',
    } as const;
    return {
      ...{ files, metrics, templateSha256: tokenizer.templateSha256 },
      recipe: { ...recipe, lora: { ...recipe.lora, ...plain } },
    };
  } catch (error) {
    if (signal.aborted && isCancelled(error)) throw signal.reason;
    throw publicError(error);
  }
}
