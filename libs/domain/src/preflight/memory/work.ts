import {
  type BaseModel,
  type BaseStorage,
  type CombineWork,
  type Decoder,
  type EvaluateWork,
  type ExportFormat,
  type ExportWork,
  type Recipe,
} from '@lowrank/contracts';
import { type AdaptedLinear, adaptLinears, adapterMemory } from './adapter';
import { floatBytes } from './arena';
import { baseFileBytes, normBytes, storageOf } from './base';
import { evaluationOperations, passOf, productMemory } from './operations';
import { answeringMemory } from './sampling';
import { forwardMemory } from './step';
import { encodingBytes, processMemory, type Dataset } from './trainer';

// What trainers take for work that is not training: libs/training/src/{export,combine,evaluate}. Node's share is measured, as in trainer.ts.

/** Of libs/training/src/parity.ts: tokens of a row that are compared, and of how many speakers a row's logits are kept. */
const comparedTokens = 256;
const heldLogits = 2;
/** V8 collects young arrays when they come to 32 MiB; the one that is made then may come to that. */
const youngBytes = 32 * 2 ** 20;

export interface WorkMemoryInput {
  model: Pick<BaseModel, 'vocabSize' | 'contextLength'> & { decoder: Decoder };
  work: ExportWork | CombineWork | EvaluateWork;
  /** Recipes of the versions that it works with, in their order. */
  recipes: readonly Recipe[];
  threads: number;
  /** What is read of the dataset that it measures and compares on. */
  dataset: Dataset;
  /** Tokens of its longest conversation. */
  longest: number;
  /** Bytes of tokenizer.json. */
  tokenizerBytes: number;
}

/** Parts of a trainer's resident memory at its peak, in bytes; they add up to it. */
export interface WorkMemoryParts {
  /** Quantized bases, mapped: the one that it works on, and of an export the result's. */
  base: number;
  result: number;
  /** In the kernel library, and as Node's arrays. */
  adapters: number;
  pairs: number;
  /** Arrays that nothing refers to any more. */
  garbage: number;
  /** One pass forward: activations, the hungriest operation, tables, keys of answers. */
  forward: number;
  products: number;
  logits: number;
  /** By which encoding the dataset, before, takes more than all that. */
  encoding: number;
  dataset: number;
  tokenizer: number;
  process: number;
}

/** The adapter of a version as it is published: PiSSA has twice the rank. */
function publishedLinears(decoder: Decoder, recipe: Recipe): AdaptedLinear[] {
  const factor = recipe.lora.init === 'pissa' ? 2 : 1;
  return adaptLinears(decoder, recipe).map((linear) => ({ ...linear, rank: linear.rank * factor }));
}

const plain = (recipe: Recipe): Recipe => ({ ...recipe, lora: { ...recipe.lora, init: 'default' } });
const weightsOf = (linears: readonly AdaptedLinear[], recipe: Recipe): number =>
  adapterMemory(linears, plain(recipe)).weights;

/** The linear layers of a base with the rank that a combination gives to all that one of its parents has. */
function combinedLinears(
  parents: readonly (readonly AdaptedLinear[])[],
  { method, rank }: CombineWork['settings'],
): AdaptedLinear[] {
  const highest = Math.max(...parents.flat().map((linear) => linear.rank));
  const [first = []] = parents;
  const inAll = first.map((_, i) => parents.reduce((sum, linears) => sum + (linears[i]?.rank ?? 0), 0));
  const chosen = method === 'svd' ? rank : null;
  const made = method === 'cat' ? Math.max(...inAll) : (chosen ?? highest);
  return first.map((linear, i) => ({ ...linear, rank: (inAll[i] ?? 0) > 0 ? made : 0 }));
}

/** How a base of plain weights is kept without changing a number: of the dtype of the checkpoint. */
const plainStorage = ({ dtype }: Decoder): BaseStorage => ({
  ...{ quantization: dtype === 'BF16' ? 'bf16' : 'f32', doubleQuantization: false },
});
const floats: BaseStorage = { quantization: 'f32', doubleQuantization: false };

type Needs = Omit<WorkMemoryParts, 'dataset' | 'tokenizer' | 'process' | 'encoding'>;

/** Of a pass over so many tokens at a time with an adapter of these linears, the widest that there is. */
function passing(
  { model: { decoder, vocabSize, contextLength }, threads }: WorkMemoryInput,
  recipe: Recipe,
  { linears, lengths, storage }: { linears: AdaptedLinear[]; lengths: number[]; storage: BaseStorage },
): Pick<Needs, 'forward' | 'products' | 'base'> {
  const shape = { decoder, vocab: vocabSize, linears, recipe, lengths, threads, trained: 0 };
  const positions = Math.max(...lengths, Math.min(contextLength, 256));
  const tables =
    decoder.ropes * 2 * floatBytes((positions * decoder.headDim) / 2) + normBytes(decoder, storage);
  return {
    base: baseFileBytes(decoder, vocabSize, storage),
    forward: forwardMemory(passOf(shape), linears) + tables + evaluationOperations(shape),
    products: productMemory(shape),
  };
}

const none = { result: 0, adapters: 0, pairs: 0, garbage: 0, logits: 0 };

/** Bytes of the largest array that a tensor of the base becomes while it is written: as it is in the checkpoint, or as floats for GGUF. */
function largestArray({ decoder, vocabSize }: WorkMemoryInput['model'], format: ExportFormat): number {
  if (format === 'gguf-adapter') return 0;
  const isWide = format !== 'merged' || decoder.dtype === 'F32';
  return (isWide ? 4 : 2) * vocabSize * decoder.hidden;
}

/** What an export compares is computed in floats. */
const inFloats = (recipe: Recipe): Recipe => ({
  ...recipe,
  training: { ...recipe.training, compute: 'f32' },
});

function exporting(input: WorkMemoryInput, format: ExportFormat): Needs {
  const { decoder, vocabSize, contextLength } = input.model;
  const [recipe] = input.recipes as [Recipe];
  const linears = publishedLinears(decoder, recipe);
  const adapter = weightsOf(linears, recipe);
  const compared = Math.min(comparedTokens, contextLength, input.longest);
  const storage = storageOf(decoder, plainStorage(decoder));
  const isAdapter = format === 'gguf-adapter';
  return {
    ...passing(input, inFloats(recipe), { linears, lengths: [compared], storage }),
    // What GGUF holds is read back as floats; a merged folder has the base's own dtype.
    result: isAdapter
      ? 0
      : format === 'merged'
        ? baseFileBytes(decoder, vocabSize, storage)
        : baseFileBytes({ ...decoder, dtype: 'F32' }, vocabSize, floats),
    adapters: isAdapter ? 2 * adapter : adapter,
    pairs: adapter,
    garbage: youngBytes + largestArray(input.model, format),
    logits: heldLogits * floatBytes(compared * vocabSize),
  };
}

function combining(input: WorkMemoryInput, settings: CombineWork['settings']): Needs {
  const { model, recipes, longest, dataset } = input;
  const { decoder, vocabSize, contextLength } = model;
  const [recipe] = recipes as [Recipe];
  const parents = recipes.map((one) => publishedLinears(decoder, one));
  const made = combinedLinears(parents, settings);
  const sum = parents.reduce((bytes, linears, i) => bytes + weightsOf(linears, recipes[i] as Recipe), 0);
  const result = weightsOf(made, recipe);
  const storage = storageOf(decoder, recipe.base);
  // The parents, their sum and what was made of them; the files as they are written.
  const pairs = 2 * sum + 2 * result;
  const compared = Math.min(comparedTokens, contextLength, longest);
  const { rows, sequenceLength } = recipe.training;
  const measured = Math.min(rows * sequenceLength, dataset.tokens);
  return largest([
    {
      ...none,
      ...passing(input, recipe, { linears: made, lengths: [compared], storage }),
      ...{ pairs, adapters: result + Math.max(sum, result), garbage: youngBytes },
      logits: heldLogits * floatBytes(compared * vocabSize),
    },
    {
      ...none,
      ...passing(input, recipe, { linears: made, lengths: [measured], storage }),
      ...{ pairs, adapters: result, garbage: youngBytes },
    },
  ]);
}

function evaluating(input: WorkMemoryInput, work: EvaluateWork): Needs {
  const { decoder, vocabSize, contextLength } = input.model;
  const [recipe] = input.recipes as [Recipe];
  const { measures, limits } = work.settings;
  const linears = publishedLinears(decoder, recipe);
  const storage = storageOf(decoder, recipe.base);
  const adapters = weightsOf(linears, recipe);
  const length = Math.min(limits.sequenceLength, contextLength);
  const needs: Needs[] = [];
  if (measures.some(({ metric }) => metric === 'loss')) {
    const lengths = [Math.min(length, input.dataset.tokens)];
    needs.push({ ...none, ...passing(input, recipe, { linears, lengths, storage }), adapters });
  }
  if (measures.some(({ metric }) => metric !== 'loss')) {
    const prompt = Math.min(length, input.longest);
    const { base, products } = passing(input, recipe, { linears, lengths: [1], storage });
    const shape = { decoder, vocab: vocabSize, linears, recipe, threads: input.threads, trained: 0 };
    const room = Math.min(prompt + limits.maxTokens, contextLength);
    needs.push({ ...none, base, products, adapters, forward: answeringMemory(shape, prompt, room) });
  }
  return largest(needs);
}

const total = (parts: Needs | WorkMemoryParts): number =>
  Object.values(parts).reduce((sum: number, bytes: number) => sum + bytes, 0);
const largest = (needs: readonly Needs[]): Needs =>
  needs.reduce((most, one) => (total(one) > total(most) ? one : most));

function needsOf(input: WorkMemoryInput): Needs {
  const { work } = input;
  switch (work.kind) {
    case 'export':
      return exporting(input, work.format);
    case 'combine':
      return combining(input, work.settings);
    case 'evaluate':
      return evaluating(input, work);
  }
}

/**
 * The peak of resident memory of the trainer of a job that does not train, in bytes, when its bases are quantized already. `npm run bench:memory`
 * holds it against real trainers.
 */
export function predictWorkMemory(input: WorkMemoryInput): { bytes: number; parts: WorkMemoryParts } {
  const needs = needsOf(input);
  const own = processMemory(input.dataset, input.tokenizerBytes);
  const encoding = Math.max(0, encodingBytes(input.tokenizerBytes) - total(needs));
  const parts = { ...needs, ...own, encoding };
  return { bytes: total(parts), parts };
}
