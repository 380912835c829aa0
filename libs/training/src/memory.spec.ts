/** The predictor of libs/domain is pure: here it meets what the kernel library counts. */
import { type Decoder, type Recipe, recipeSchema, type RecipeInput } from '@lowrank/contracts';
import { parseModelConfig } from '@lowrank/datasets';
import { predictMemory, predictNativeMemory, predictSamplingMemory } from '@lowrank/domain';
import { openKernels } from '@lowrank/kernels';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configOf, writeModel } from '../test/models';
import { objectiveOf } from './objective';
import { adapterSpec } from './targets';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-memory-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sizes = {
  vocab_size: 700,
  hidden_size: 128,
  intermediate_size: 320,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 1024,
};
const threads = 2;

/** Peak that the kernel library counts for a step on one batch of sequences of these lengths, and the size of its base. */
async function measure(config: object, recipe: Recipe, lengths: readonly number[]) {
  const file = join(folder, 'base.lrb');
  const { quantization: format, doubleQuantization } = recipe.base;
  const quantizer = openKernels({ threads });
  await quantizer.quantizeBase(writeModel(join(folder, 'model'), config), file, {
    quantization: { format, doubleQuantization },
  });
  quantizer.close();
  const kernels = openKernels({ threads, compute: recipe.training.compute });
  const base = await kernels.openBase(file);
  const adapter = base.createAdapter(adapterSpec(base.info.linears, recipe));
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const tokens = Int32Array.from({ length: total }, (_, i) => (i * 7) % 700);
  const starts = Int32Array.from([0, ...lengths]).map((_, i) =>
    lengths.slice(0, i).reduce((sum, length) => sum + length, 0),
  );
  const batch = { tokens, targets: tokens, starts, reference: new Float64Array(lengths.length) };
  const rows = { adapter, begin: 0, end: total, lossScale: 1 / total, dropoutSeed: 1n };
  const { checkpointActivations } = recipe.training;
  await objectiveOf(recipe).train(base, batch, rows, { checkpointActivations });
  const { learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm } = recipe.optimizer;
  await adapter.optimizerStep({ learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm });
  const measured = {
    peak: kernels.memory().peakBytes,
    file: base.info.fileBytes,
    state: adapter.exportState().length,
  };
  for (const handle of [adapter, base, kernels]) handle.close();
  return measured;
}

/** Peak that the kernel library counts for answering a prompt of so many tokens over the base that was measured last. */
async function measureSampling(recipe: Recipe, prompt: number): Promise<number> {
  const kernels = openKernels({ threads, compute: recipe.training.compute });
  const base = await kernels.openBase(join(folder, 'base.lrb'));
  const adapter = base.createAdapter(adapterSpec(base.info.linears, recipe));
  const session = base.openSession({ adapter, capacity: prompt + 48 });
  await session.append(new Int32Array(prompt).fill(5));
  const { peakBytes } = kernels.memory();
  for (const handle of [session, adapter, base, kernels]) handle.close();
  return peakBytes;
}

const model = (type: string, members: object = {}): [string, object] => [
  type,
  configOf(type, { ...sizes, ...members }),
];
const llama = model('llama');
const plain: RecipeInput = { lora: { rank: 8 } };
const short = [1, 17, 300];
const long = [700, 500, 80];

const cases: [[string, object], RecipeInput, number[]][] = [
  ...['llama', 'mistral', 'qwen2', 'qwen3', 'gemma2', 'gemma3', 'phi3'].flatMap((type) => [
    [model(type, { head_dim: 40 }), plain, long] as (typeof cases)[number],
    [model(type), { ...plain, training: { checkpointActivations: false } }, short] as (typeof cases)[number],
  ]),
  [llama, plain, [64]],
  [llama, plain, Array<number>(60).fill(33)],
  [model('llama', { num_key_value_heads: 4, tie_word_embeddings: true, vocab_size: 9000 }), plain, long],
  [model('llama', { vocab_size: 40_000, hidden_size: 64 }), plain, long],
  [llama, { lora: { rank: 200, rankPattern: { q_proj: 3, '0.mlp.down_proj': 500 } } }, short],
  [llama, { lora: { rank: 64 }, optimizer: { name: 'adamw8bit' } }, short],
  [llama, { lora: { rank: 8, layers: [2] }, training: { checkpointActivations: false } }, long],
  [llama, { lora: { rank: 8, targets: ['v_proj'], layers: [1] } }, long],
  [llama, { lora: { rank: 16, dora: true } }, long],
  [llama, { lora: { rank: 16, dora: true, dropout: 0.1 } }, long],
  [llama, { lora: { rank: 16, dropout: 0.1 } }, long],
  [llama, { lora: { rank: 16, init: 'pissa', initIterations: 1 } }, long],
  [model('qwen2'), { lora: { rank: 8, targets: ['o_proj'], bias: 'all' } }, long],
  [model('qwen2'), { lora: { rank: 8, targets: ['q_proj'], bias: 'lora_only', layers: [1, 2] } }, long],
  [llama, { ...plain, objective: { type: 'dpo' } }, [200, 300]],
  [llama, { ...plain, objective: { type: 'orpo' }, training: { checkpointActivations: false } }, [200, 300]],
  [llama, { ...plain, training: { compute: 'f32', neftuneAlpha: 5, labelSmoothing: 0.1 } }, long],
  ...['llama', 'qwen3', 'gemma2'].flatMap((type) => [
    [model(type, { head_dim: 64 }), plain, long] as (typeof cases)[number],
    [
      model(type, { head_dim: 64 }),
      { training: { compute: 'f32', checkpointActivations: false } },
      short,
    ] as (typeof cases)[number],
    [
      model(type, { head_dim: 64 }),
      { lora: { rank: 16, dora: true, dropout: 0.1 } },
      long,
    ] as (typeof cases)[number],
  ]),
  // So many sums that those which wait to be rounded take more than the logits.
  [
    model('llama', { hidden_size: 2112, intermediate_size: 1024, num_hidden_layers: 1, head_dim: 64 }),
    plain,
    Array<number>(8).fill(512),
  ],
  [model('llama', { hidden_size: 124, intermediate_size: 300, head_dim: 30 }), plain, long],
  ...(['fp4', 'int8', 'bf16', 'f32'] as const).map(
    (quantization) => [llama, { ...plain, base: { quantization } }, short] as (typeof cases)[number],
  ),
  [llama, { ...plain, base: { doubleQuantization: false } }, short],
];

const share = (predicted: number, measured: number) => Math.abs(predicted / measured - 1);

function inputOf(config: object, recipe: Recipe, lengths: readonly number[]) {
  const { contextLength, vocabSize, decoder: sizesOfConfig } = parseModelConfig(config);
  const decoder: Decoder = { ...sizesOfConfig, dtype: 'F32' };
  const dataset = { conversations: 0, tokens: 0 };
  return {
    model: { decoder, contextLength, vocabSize },
    recipe,
    lengths,
    threads,
    dataset,
    tokenizerBytes: 0,
  };
}

it.each(cases)('%j, %j, sequences of %j tokens', async ([, config], input, lengths) => {
  const recipe = recipeSchema.parse(input);
  const predicted = inputOf(config, recipe, lengths);
  const measured = await measure(config, recipe, lengths);
  expect(share(predictNativeMemory(predicted).bytes, measured.peak)).toBeLessThan(0.01);
  const { base, checkpoint } = predictMemory(predicted).parts;
  expect(share(base, measured.file)).toBeLessThan(0.01);
  expect(share(checkpoint, measured.state)).toBeLessThan(0.001);
});

it.each<[[string, object], RecipeInput, number]>([
  [llama, plain, 60],
  [llama, plain, 900],
  [model('gemma2', { num_key_value_heads: 4 }), plain, 900],
  [model('phi3'), plain, 600],
])('samples: %j, %j, a prompt of %i tokens', async ([, config], input, prompt) => {
  const recipe = recipeSchema.parse(input);
  await measure(config, recipe, [16]);
  const predicted = predictSamplingMemory(inputOf(config, recipe, [prompt]));
  expect(share(predicted, await measureSampling(recipe, prompt))).toBeLessThan(0.02);
});

it('counts what samples take where that is more than training', () => {
  // Keys and values that are wide beside all else that a layer keeps.
  const wide = { num_hidden_layers: 24, num_key_value_heads: 4, head_dim: 256 };
  const config = configOf('llama', { ...sizes, ...wide });
  const sizesOf = (fraction: number) =>
    predictMemory(
      inputOf(config, recipeSchema.parse({ lora: { rank: 1 }, evaluation: { fraction } }), [1000]),
    );
  const [none, some] = [sizesOf(0), sizesOf(0.1)];
  expect(none.parts.beyondTraining).toBe(0);
  expect(some.parts.beyondTraining).toBeGreaterThan(0);
  expect(some.bytes - none.bytes).toBe(some.parts.beyondTraining);
});
