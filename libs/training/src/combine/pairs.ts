import { LowrankError } from '@lowrank/contracts';
import { patternValues, scaleOf } from '@lowrank/domain';
import { join } from 'node:path';
import { ADAPTER_WEIGHTS, type AdapterConfig, unusable } from '../peft-config';
import { encodeSafetensors, readSafetensors } from '../safetensors';

/** What LoRA adds to one linear layer: scale · B · A. */
export interface Pair {
  rank: number;
  scale: number;
  inputs: number;
  outputs: number;
  /** [rank, inputs] */
  a: Float32Array;
  /** [outputs, rank] */
  b: Float32Array;
}

/** The pairs of an adapter by module, as `model.layers.0.self_attn.q_proj`. */
export type Pairs = Map<string, Pair>;

/** Everything that an adapter has, by module. */
export interface AdapterParts {
  pairs: Pairs;
  /** DoRA: [outputs] of each pair. */
  magnitudes: Map<string, Float32Array>;
  /** What takes the place of a layer's bias, [outputs]. */
  biases: Map<string, Float32Array>;
}

const matrixPattern = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;
const vectorPattern = /^base_model\.model\.(.+?)(?:\.base_layer)?\.(lora_magnitude_vector|bias)$/;

/**
 * Reads a folder in PEFT's format, whose adapter_config.json is `config`; no base model is needed. Throws LowrankError validation_failed when it holds
 * anything but LoRA pairs, DoRA's magnitudes and biases.
 */
export async function readParts(folder: string, config: AdapterConfig): Promise<AdapterParts> {
  const tensors = await readSafetensors(join(folder, ADAPTER_WEIGHTS), ADAPTER_WEIGHTS);
  const matrices = new Map<string, { rows: number; cols: number; values: Float32Array }>();
  const modules = new Set<string>();
  const parts: AdapterParts = { pairs: new Map(), magnitudes: new Map(), biases: new Map() };
  for (const { name, shape, values } of tensors) {
    const [, of, kind] = vectorPattern.exec(name) ?? [];
    if (of !== undefined && shape.length === 1) {
      (kind === 'bias' ? parts.biases : parts.magnitudes).set(of, values);
      continue;
    }
    const [, module, side] = matrixPattern.exec(name) ?? [];
    if (module === undefined || shape.length !== 2) throw unusable(`${name} is no matrix of a LoRA pair`);
    modules.add(module);
    matrices.set(`${module}.${side}`, { rows: shape[0] as number, cols: shape[1] as number, values });
  }
  const alphas = patternValues('alphaPattern', config.alpha_pattern ?? {}, [...modules]);
  for (const module of modules) {
    const [a, b] = [matrices.get(`${module}.A`), matrices.get(`${module}.B`)];
    if (a === undefined || b === undefined || a.rows !== b.cols)
      throw unusable(`lora_A and lora_B of ${module} do not make a pair`);
    const scale = scaleOf(a.rows, alphas.get(module) ?? config.lora_alpha, config.use_rslora);
    parts.pairs.set(module, {
      ...{ rank: a.rows, scale, inputs: a.cols, outputs: b.rows },
      ...{ a: a.values, b: b.values },
    });
  }
  for (const [module, { length }] of parts.magnitudes)
    if (parts.pairs.get(module)?.outputs !== length)
      throw unusable(`lora_magnitude_vector of ${module} does not fit its pair`);
  return parts;
}

/**
 * The pairs of such a folder. Throws LowrankError validation_failed when it is no plain LoRA: a magnitude (DoRA) or a bias has no part in
 * a product of two matrices, so what is left of the adapter without it is another one.
 */
export async function readPairs(folder: string, config: AdapterConfig): Promise<Pairs> {
  const { pairs, magnitudes, biases } = await readParts(folder, config);
  if (config.use_dora || magnitudes.size > 0)
    throw unusable('it is DoRA, which is no product of two matrices; it can only be merged into its base');
  if (config.bias !== 'none' || biases.size > 0)
    throw unusable(
      `it trains biases (bias: ${config.bias}), which are no product of two matrices; it can only be merged into its base`,
    );
  return pairs;
}

/** adapter_model.safetensors of pairs that are all of one rank and scale 1: `alpha` of their configuration is that rank. */
export function encodePairs(pairs: Pairs): Buffer {
  return encodeSafetensors(
    [...pairs].flatMap(([module, { rank, inputs, outputs, a, b, scale }]) => {
      if (scale !== 1) throw new LowrankError('internal', `the pair of ${module} has scale ${scale}`);
      const prefix = `base_model.model.${module}`;
      return [
        { name: `${prefix}.lora_A.weight`, shape: [rank, inputs], fill: (into: Float32Array) => into.set(a) },
        {
          name: `${prefix}.lora_B.weight`,
          shape: [outputs, rank],
          fill: (into: Float32Array) => into.set(b),
        },
      ];
    }),
  );
}
