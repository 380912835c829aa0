import { type Decoder, recipeSchema, type RecipeInput } from '@lowrank/contracts';
import { llama8b as decoder } from '../../test/llama-8b';
import { type MemoryParts, predictMemory } from './predict';

// libs/training/src/memory.spec.ts holds the figures against the kernel library, bench/memory.mjs against trainers.

const GiB = 2 ** 30;
/** Of 2,048 tokens: a layer's input, attention and its output, in bfloat16; a number a head; x·Aᵀ of seven pairs of rank 16. */
const keptOfLayer = 2048 * (2 * 3 * 4096 + 4 * (32 + 7 * 16));

function predict(input: RecipeInput = {}, lengths = [512, 512, 512, 512], changes: Partial<Decoder> = {}) {
  return predictMemory({
    model: { decoder: { ...decoder, ...changes }, vocabSize: 128_256, contextLength: 131_072 },
    recipe: recipeSchema.parse(input),
    lengths,
    threads: 8,
    dataset: { conversations: 10_000, tokens: 3_000_000 },
    tokenizerBytes: 17_000_000,
  });
}
const changed = (a: MemoryParts, b: MemoryParts): string[] =>
  (Object.keys(a) as (keyof MemoryParts)[]).filter((part) => a[part] !== b[part]);

it('says what a QLoRA of 8B takes, part by part', () => {
  const { bytes, parts } = predict();
  expect(Object.values(parts).reduce((sum, part) => sum + part, 0)).toBe(bytes);
  // 4.127 bits for each of 6.98 · 10⁹ linear parameters, 16 for each of the embedding's and the head's.
  expect(parts.base / GiB).toBeCloseTo((6.98e9 * 4.127) / 8 / GiB + (2 * 2 * 128_256 * 4096) / GiB, 1);
  expect(parts.keptActivations).toBe(32 * keptOfLayer);
  expect(parts.gradients).toBe(parts.adapterWeights);
  expect(parts.moments).toBe(2 * parts.adapterWeights);
  expect(parts.beyondTraining).toBe(0);
});

it.each<[string, RecipeInput, string[]]>([
  ['the storage of the base', { base: { quantization: 'int8' } }, ['base']],
  ['the optimizer', { optimizer: { name: 'adamw8bit' } }, ['moments', 'checkpoint']],
  ['checkpointing', { training: { checkpointActivations: false } }, ['keptActivations', 'oneLayer']],
  ['rates', { optimizer: { learningRate: 1 }, training: { seed: 1, neftuneAlpha: 5 } }, []],
])('%s changes its own parts alone', (_title, input, parts) => {
  expect(changed(predict().parts, predict(input).parts).sort()).toEqual(parts.sort());
});

it('counts the encoding of the dataset where that takes most', () => {
  const small = { layers: 1, hidden: 64, intermediate: 64, heads: 2, kvHeads: 2, headDim: 32 };
  expect(predict({}, [64], small).parts.beyondTraining).toBeGreaterThan(2 ** 28);
});

it('takes the storage of a checkpoint that is quantized already', () => {
  const quantization = { quantization: 'int8', doubleQuantization: false } as const;
  const { parts } = predict({}, undefined, { quantization });
  expect(parts.base).toBe(predict({ base: quantization }).parts.base);
});

it('keeps nothing of the layers below the lowest that is adapted', () => {
  expect(predict({ lora: { layers: [31] } }).parts.keptActivations).toBe(keptOfLayer);
});

it('counts floats where a job computes in floats', () => {
  const { parts } = predict({ training: { compute: 'f32' } });
  expect(parts.keptActivations).toBe(32 * (keptOfLayer + 2048 * 2 * 3 * 4096));
  expect(parts.workingBuffers).toBeGreaterThan(predict().parts.workingBuffers);
});

it('grows with the tokens of a micro-batch, however they are spread over sequences', () => {
  const [once, twice] = [predict({}, [1024]), predict({}, [512, 512, 512, 512])];
  expect(twice.parts.keptActivations).toBe(2 * once.parts.keptActivations);
  expect(changed(twice.parts, predict({}, [1024, 1024]).parts)).toEqual(['tables']);
});
