import { type Decoder, recipeSchema } from '@lowrank/contracts';
import { trainingOperations } from '@lowrank/domain';
import { type Kernels } from '@lowrank/kernels';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDevice } from './device';
import { encodeSafetensors } from './safetensors';
import { adapterSpec } from './targets';

/** A model that is large enough for its products to take most of a step's time, and small enough for a step to take a part of a second. */
const [hidden, intermediate, heads, headDim, layers, vocabSize] = [512, 1408, 8, 64, 2, 512];
const [sequences, length, steps] = [4, 256, 3];

const config = {
  model_type: 'llama',
  vocab_size: vocabSize,
  hidden_size: hidden,
  intermediate_size: intermediate,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  num_key_value_heads: heads,
  max_position_embeddings: length,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
};
const decoder: Decoder = {
  ...{ prefix: 'model.', layers, hidden, intermediate, heads, kvHeads: heads, headDim },
  ...{ tiedEmbeddings: true, fused: false, qkNorms: false, outputNorms: false },
  biases: { qkv: false, o: false, mlp: false },
  ...{ ropes: 1, dtype: 'F32', quantization: null },
};

const layerShapes: [string, number[]][] = [
  ...['q', 'k', 'v', 'o'].map((name): [string, number[]] => [`self_attn.${name}_proj`, [hidden, hidden]]),
  ['mlp.gate_proj', [intermediate, hidden]],
  ['mlp.up_proj', [intermediate, hidden]],
  ['mlp.down_proj', [hidden, intermediate]],
  ['input_layernorm', [hidden]],
  ['post_attention_layernorm', [hidden]],
];

/** Weights that are no model's, but neither zero nor all the same. */
async function writeModel(folder: string): Promise<void> {
  const shapes: [string, number[]][] = [
    ['model.embed_tokens', [vocabSize, hidden]],
    ['model.norm', [hidden]],
    ...Array.from({ length: layers }, (_, layer) =>
      layerShapes.map(([name, shape]): [string, number[]] => [`model.layers.${layer}.${name}`, shape]),
    ).flat(),
  ];
  const tensors = shapes.map(([name, shape]) => ({
    name: `${name}.weight`,
    shape,
    fill: (into: Float32Array) => void into.forEach((_, i) => (into[i] = 0.02 * Math.sin(i * i))),
  }));
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  await writeFile(join(folder, 'model.safetensors'), encodeSafetensors(tensors));
}

async function fastestStep(kernels: Kernels, file: string): Promise<number> {
  const base = await kernels.openBase(file);
  const adapter = base.createAdapter(adapterSpec(base.info.linears, recipe));
  const tokens = Int32Array.from({ length: sequences * length }, (_, i) => (i * 7) % vocabSize);
  const starts = Int32Array.from({ length: sequences + 1 }, (_, i) => i * length);
  const rows = [{ adapter, begin: 0, end: tokens.length, lossScale: 1 / tokens.length }];
  let fastest = Infinity;
  for (let step = 0; step < steps; step += 1) {
    const started = performance.now();
    await base.trainStep({ tokens, targets: tokens, starts }, rows, {
      checkpointActivations: recipe.training.checkpointActivations,
    });
    fastest = Math.min(fastest, (performance.now() - started) / 1000);
  }
  return fastest;
}

const recipe = recipeSchema.parse({});

/**
 * Operations per second of a training step with `threads`, counted as domain's trainingOperations counts them: the fastest of a few steps of a
 * small model that is made for it in `folder`, with a recipe's defaults. Takes about a second, and some 30 MB there, which are the caller's to remove.
 * Errors: device_failed.
 */
export async function measureSpeed(threads: number, folder: string): Promise<number> {
  const kernels = openDevice({ threads, compute: recipe.training.compute });
  try {
    await writeModel(folder);
    const file = join(folder, 'base.lrq');
    await kernels.quantizeBase(folder, file);
    const seconds = await fastestStep(kernels, file);
    const tokens = sequences * length;
    const operations = trainingOperations({ decoder, vocabSize }, recipe, {
      data: { steps: 1 },
      trained: { tokens, squares: tokens * length },
      held: { tokens: 0, squares: 0 },
    });
    return operations / seconds;
  } finally {
    kernels.close();
  }
}
