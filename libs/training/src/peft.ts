import { LowrankError, type Recipe } from '@lowrank/contracts';
import { type Adapter, type AdapterTensor, type Base, type LoraTarget } from '@lowrank/kernels';
import { SafetensorsError } from '@lowrank/datasets';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { encodeSafetensors, readSafetensors, type NamedTensor } from './safetensors';
import { patternValues, scaleOf, targetModules } from './targets';

/** Release of PEFT whose format this is. */
const PEFT_VERSION = '0.21.2';
export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';

const tensorName = ({ module, role }: Pick<AdapterTensor, 'module' | 'role'>): string =>
  `base_model.model.${module}.${role}.weight`;

/** adapter_model.safetensors of an adapter: `base_model.model.<module>.lora_A.weight` [r, in], `.lora_B.weight` [out, r], F32. */
export function adapterWeights(adapter: Adapter): Buffer {
  const tensors = adapter.tensors.map((tensor, i) => ({
    name: tensorName(tensor),
    shape: tensor.shape,
    values: adapter.read(i),
  }));
  if (tensors.some(({ values }) => !values.every(Number.isFinite)))
    throw new LowrankError('loss_not_finite', 'the adapter holds numbers that are not finite');
  return encodeSafetensors(tensors);
}

/** adapter_config.json: keys sorted, two spaces, and nothing that differs between two runs of one recipe. */
export function adapterConfig(base: Base, recipe: Recipe, source: string, revision: string): string {
  const { lora } = recipe;
  const config = {
    alpha_pattern: lora.alphaPattern,
    base_model_name_or_path: source,
    bias: 'none',
    exclude_modules: lora.exclude.length === 0 ? null : lora.exclude,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: lora.layers,
    lora_alpha: lora.alpha,
    lora_dropout: lora.dropout,
    modules_to_save: null,
    peft_type: 'LORA',
    peft_version: PEFT_VERSION,
    r: lora.rank,
    rank_pattern: lora.rankPattern,
    revision,
    target_modules: targetModules(base.info.linears, lora),
    task_type: 'CAUSAL_LM',
    use_dora: false,
    use_rslora: lora.rsLora,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** What an adapter of PEFT has to be for this loader: LoRA on linear layers, nothing else trained. */
const configSchema = z.looseObject({
  peft_type: z.literal('LORA'),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  bias: z.literal('none').default('none'),
  fan_in_fan_out: z.literal(false).default(false),
  use_dora: z.literal(false).default(false),
  use_rslora: z.boolean().default(false),
  modules_to_save: z.array(z.string()).max(0).nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
});

function unusable(message: string, cause?: unknown): LowrankError {
  return new LowrankError('validation_failed', `the adapter cannot be used: ${message}`, undefined, {
    cause,
  });
}

async function readConfig(folder: string): Promise<z.output<typeof configSchema>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(join(folder, ADAPTER_CONFIG), 'utf8'));
  } catch (error) {
    throw unusable(`${ADAPTER_CONFIG} is missing or not JSON`, error);
  }
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw unusable(`${ADAPTER_CONFIG}: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  return parsed.data;
}

/** Targets that the tensors are of, in the base's order, with the rank of each from its lora_A. */
function targetsOf(
  base: Base,
  tensors: Map<string, NamedTensor>,
  { lora_alpha: alpha, alpha_pattern: patterns, use_rslora: rsLora }: z.output<typeof configSchema>,
): LoraTarget[] {
  const ranks = base.info.linears.flatMap(({ name }) => {
    const rank = tensors.get(tensorName({ module: name, role: 'lora_A' }))?.shape[0];
    return rank === undefined ? [] : [{ name, rank }];
  });
  const names = ranks.map(({ name }) => name);
  const alphas = patternValues(patterns ?? {}, names, 'alphaPattern');
  return ranks.map(({ name, rank }) => ({
    name,
    rank,
    scale: scaleOf(rank, alphas.get(name) ?? alpha, rsLora),
  }));
}

/**
 * Loads a folder in PEFT's format onto a base. Throws LowrankError validation_failed when it is not LoRA on linear layers of this
 * base, or names and shapes do not fit.
 */
export async function loadAdapter(base: Base, folder: string): Promise<Adapter> {
  const config = await readConfig(folder);
  const list = await readSafetensors(join(folder, ADAPTER_WEIGHTS), ADAPTER_WEIGHTS).catch(
    (error: unknown) => {
      const known = error instanceof SafetensorsError || (error as NodeJS.ErrnoException).code === 'ENOENT';
      throw known ? unusable((error as Error).message, error) : error;
    },
  );
  const tensors = new Map(list.map((tensor) => [tensor.name, tensor]));
  const targets = targetsOf(base, tensors, config);
  if (targets.length === 0) throw unusable('no tensor is of a linear layer of this base');
  const adapter = base.createAdapter({ targets, dropout: 0, seed: 0n });
  try {
    adapter.tensors.forEach((wanted, i) => {
      const name = tensorName(wanted);
      const found = tensors.get(name);
      if (found?.shape.join() !== wanted.shape.join())
        throw unusable(`${name} has shape [${found?.shape ?? 'none'}], the base needs [${wanted.shape}]`);
      adapter.write(i, found.values);
      tensors.delete(name);
    });
    const [unknown] = tensors.keys();
    if (unknown !== undefined) throw unusable(`this base has no place for ${unknown}`);
    return adapter;
  } catch (error) {
    adapter.close();
    throw error;
  }
}
