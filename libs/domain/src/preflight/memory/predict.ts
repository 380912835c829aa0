import { type BaseModel, type Decoder, type Recipe } from '@lowrank/contracts';
import { adaptLinears, adapterMemory } from './adapter';
import { floatBytes } from './arena';
import { baseFileBytes, normBytes, storageOf } from './base';
import { operationMemory, productMemory } from './operations';
import { cacheMemory, passMemory, samplingMemory } from './sampling';
import { stepMemory } from './step';
import { encodingBytes, processMemory, type Dataset } from './trainer';

export interface NativeMemoryInput {
  model: Pick<BaseModel, 'vocabSize' | 'contextLength'> & { decoder: Decoder };
  recipe: Recipe;
  /** Tokens of each sequence of the largest micro-batch, as packing makes it. */
  lengths: readonly number[];
  threads: number;
}

export interface MemoryInput extends NativeMemoryInput {
  dataset: Dataset;
  /** Bytes of tokenizer.json. */
  tokenizerBytes: number;
}

/** Parts of the kernel library's memory while training, in bytes. */
export interface NativeMemory {
  /** Checkpoints of layers kept for the backward pass; without checkpointing, all that it needs. */
  keptActivations: number;
  /** Activations of the one layer that is computed, when they are not kept. */
  oneLayer: number;
  /** Gradients and products of one layer, and what there is of every token. */
  workingBuffers: number;
  /** The hungriest operation: a chunk of logits, attention's keys, or DoRA's outputs. */
  operation: number;
  /** What the threads pack operands of products into. */
  products: number;
  /** Tables of rotary embeddings, norms as floats, norms of DoRA. */
  tables: number;
  adapterWeights: number;
  gradients: number;
  moments: number;
}

/** Parts of a trainer's resident memory at its peak, in bytes. */
export interface MemoryParts extends NativeMemory {
  /** The quantized base, mapped; machines share it between trainers. */
  base: number;
  /** A checkpoint's bytes, which are made in memory; published weights are fewer, and made when these are gone. */
  checkpoint: number;
  /** What encoding the dataset, before, or making sample answers, afterwards, takes beyond what training does. */
  beyondTraining: number;
  dataset: number;
  tokenizer: number;
  /** Node, its code and its heap. */
  process: number;
}

export interface MemoryPrediction {
  /** Peak of resident memory (VmHWM) of the trainer. */
  bytes: number;
  parts: MemoryParts;
}

const total = (parts: NativeMemory | MemoryParts): number =>
  Object.values(parts).reduce((sum: number, bytes: number) => sum + bytes, 0);

/** RopeTable::reserve: cosines and sines of as many positions as the longest sequence has, 256 at least. */
function ropeTables({ model: { decoder, contextLength }, lengths }: NativeMemoryInput): number {
  const positions = Math.max(...lengths, Math.min(contextLength, 256));
  return decoder.ropes * 2 * floatBytes((positions * decoder.headDim) / 2);
}

/** What parts are computed from. */
function shapesOf({ model, recipe, lengths, threads }: NativeMemoryInput) {
  const { decoder, vocabSize: vocab } = model;
  const linears = adaptLinears(decoder, recipe);
  const adapter = adapterMemory(linears, recipe);
  const operations = { decoder, vocab, linears, recipe, lengths, threads, trained: adapter.gradients / 4 };
  return { linears, adapter, operations };
}
type Shapes = ReturnType<typeof shapesOf>;

function nativeParts(input: NativeMemoryInput, { linears, adapter, operations }: Shapes): NativeMemory {
  const { recipe, lengths } = input;
  const { decoder } = input.model;
  const T = lengths.reduce((sum, length) => sum + length, 0);
  const step = stepMemory(decoder, linears, recipe, T);
  return {
    keptActivations: step.kept,
    oneLayer: step.oneLayer,
    workingBuffers: step.working,
    operation: operationMemory(operations),
    products: productMemory(operations),
    tables: ropeTables(input) + normBytes(decoder, storageOf(decoder, recipe.base)) + adapter.norms,
    adapterWeights: adapter.weights,
    gradients: adapter.gradients,
    moments: adapter.moments,
  };
}

/** What the kernel library will count for a context that trains so (lr_context_memory), in bytes. */
export function predictNativeMemory(input: NativeMemoryInput): { bytes: number; parts: NativeMemory } {
  const parts = nativeParts(input, shapesOf(input));
  return { bytes: total(parts), parts };
}

/** The same of the context that makes samples, with a prompt as long as the longest sequence that was trained on. */
export function predictSamplingMemory(input: NativeMemoryInput): number {
  const shapes = shapesOf(input);
  return samplingBytes(input.lengths, shapes, nativeParts(input, shapes).tables);
}

const samplingBytes = (lengths: readonly number[], { adapter, operations }: Shapes, tables: number): number =>
  samplingMemory(operations, Math.max(...lengths)) + adapter.weights + tables;

/** Bytes by which what comes before and after training takes more than training does. */
function beyondTraining(
  { lengths, recipe, tokenizerBytes }: MemoryInput,
  native: NativeMemory,
  base: number,
  shapes: Shapes,
): number {
  const { state, published } = shapes.adapter;
  const training = total(native) + state;
  // The published weights are read back beside themselves.
  const sampling = samplingBytes(lengths, shapes, native.tables) + 2 * published;
  return Math.max(
    0,
    recipe.evaluation.fraction > 0 ? sampling - training : 0,
    encodingBytes(tokenizerBytes) - (training + base),
  );
}

/**
 * The peak of resident memory of the trainer of a job, in bytes, from the model's sizes, the recipe and the lengths of the largest
 * micro-batch alone. It mirrors the kernel library's plan of a step, so that it is as exact as that for the native part; Node's own
 * part is measured (trainer.ts). `npm run bench:memory` holds it against real trainers.
 */
export function predictMemory(input: MemoryInput): MemoryPrediction {
  const { model, recipe, dataset, tokenizerBytes } = input;
  const { decoder, vocabSize } = model;
  const shapes = shapesOf(input);
  const native = nativeParts(input, shapes);
  const base = baseFileBytes(decoder, vocabSize, storageOf(decoder, recipe.base));
  const parts: MemoryParts = {
    ...native,
    base,
    checkpoint: shapes.adapter.state,
    beyondTraining: beyondTraining(input, native, base, shapes),
    ...processMemory(dataset, tokenizerBytes),
  };
  return { bytes: total(parts), parts };
}

export interface ServingMemory {
  /** The quantized base, mapped. */
  weights: number;
  /** Keys and values of all answers together, and the tables of rotary embeddings. */
  pages: number;
  /** Activations of the tokens that go through the model at a time, and the logits of all answers. */
  workspace: number;
}

/** What a server of answers takes for a base: `tokens` of all sequences in its cache, `rows` answers at a time. In bytes. */
export function predictServingMemory(
  input: Omit<NativeMemoryInput, 'lengths'>,
  { tokens, rows }: { tokens: number; rows: number },
): ServingMemory {
  const { decoder, vocabSize, contextLength } = input.model;
  const longest = Math.min(tokens, contextLength);
  const whole = { ...input, lengths: [longest] };
  const { operations } = shapesOf(whole);
  const storage = storageOf(decoder, input.recipe.base);
  return {
    weights: baseFileBytes(decoder, vocabSize, storage),
    pages: cacheMemory(decoder, tokens) + ropeTables(whole) + normBytes(decoder, storage),
    workspace: passMemory(operations, longest) + floatBytes(rows * vocabSize),
  };
}
