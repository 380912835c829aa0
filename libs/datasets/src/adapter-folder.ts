import { type Lora, LowrankError, recipeSchema } from '@lowrank/contracts';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readSafetensorsHeader, type SafetensorsEntry, SafetensorsError } from './safetensors';

/** Names of a folder's files in PEFT's format. */
export const adapterFiles = { config: 'adapter_config.json', weights: 'adapter_model.safetensors' } as const;
const MOST_CONFIG_BYTES = 1 << 20;

/** What is said of a LoRA that changes what it computes, and that nothing here computes: has to be absent, false or empty. */
const unknownFields = [
  'modules_to_save',
  'trainable_token_indices',
  'target_parameters',
  'layer_replication',
  'layers_pattern',
  'lora_bias',
  'use_qalora',
  'alora_invocation_tokens',
  'arrow_config',
  'fan_in_fan_out',
] as const;

const names = z.union([z.array(z.string()), z.string()]).nullish();
/** adapter_config.json of PEFT's LoraConfig. */
const configSchema = z.looseObject({
  peft_type: z.literal('LORA'),
  task_type: z.literal('CAUSAL_LM').nullish(),
  base_model_name_or_path: z.string().nullish(),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  lora_dropout: z.number().min(0).lt(1).nullish(),
  bias: z.enum(['none', 'lora_only', 'all']).nullish(),
  use_dora: z.boolean().nullish(),
  use_rslora: z.boolean().nullish(),
  target_modules: z.union([z.array(z.string()).min(1), z.string()]),
  exclude_modules: names,
  layers_to_transform: z.union([z.array(z.int()), z.int()]).nullish(),
  rank_pattern: z.record(z.string(), z.int()).nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
});

export interface AdapterFolder {
  /** What the adapter is, as a recipe says it. */
  lora: Lora;
  /** Of the weights: names, shapes, dtypes. */
  tensors: SafetensorsEntry[];
  /** What the configuration calls its base model. */
  base: string | null;
}

const invalid = (message: string, cause?: unknown): LowrankError =>
  new LowrankError('adapter_invalid', `The adapter cannot be imported: ${message}.`, undefined, { cause });

async function readConfig(folder: string): Promise<z.output<typeof configSchema>> {
  const path = join(folder, adapterFiles.config);
  const { size } = await stat(path).catch((error: unknown) => {
    throw invalid(`${adapterFiles.config} is missing`, error);
  });
  if (size > MOST_CONFIG_BYTES) throw invalid(`${adapterFiles.config} has ${size} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw invalid(`${adapterFiles.config} is not JSON`, error);
  }
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(`${adapterFiles.config}: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  const isSet = (one: unknown) =>
    Boolean(one) && (typeof one !== 'object' || Object.keys(one as object).length > 0);
  const unknown = unknownFields.find((field) => isSet(parsed.data[field]));
  if (unknown !== undefined) throw invalid(`${adapterFiles.config}: ${unknown} is nothing that is supported`);
  return parsed.data;
}

/**
 * Reads what a folder in PEFT's format holds, without the numbers: adapter_config.json and the header of adapter_model.safetensors. Whether
 * it fits a base model is for others to say. Throws LowrankError adapter_invalid.
 */
export async function inspectAdapterFolder(folder: string): Promise<AdapterFolder> {
  const config = await readConfig(folder);
  const layers = config.layers_to_transform ?? null;
  const recipe = recipeSchema.safeParse({
    lora: {
      rank: config.r,
      alpha: config.lora_alpha,
      dropout: config.lora_dropout ?? 0,
      targets: config.target_modules,
      exclude: config.exclude_modules ?? [],
      layers: typeof layers === 'number' ? [layers] : layers?.length === 0 ? null : layers,
      rankPattern: config.rank_pattern ?? {},
      alphaPattern: config.alpha_pattern ?? {},
      rsLora: config.use_rslora ?? false,
      dora: config.use_dora ?? false,
      bias: config.bias ?? 'none',
    },
  });
  if (!recipe.success) {
    const [issue] = recipe.error.issues;
    throw invalid(`${adapterFiles.config}: ${issue?.path.slice(1).join('.')}: ${issue?.message}`);
  }
  const tensors = await readSafetensorsHeader(join(folder, adapterFiles.weights), adapterFiles.weights).catch(
    (error: unknown) => {
      if (error instanceof SafetensorsError) throw invalid(error.message, error);
      if ((error as NodeJS.ErrnoException).code === 'ENOENT')
        throw invalid(`${adapterFiles.weights} is missing`, error);
      throw error;
    },
  );
  return { lora: recipe.data.lora, tensors, base: config.base_model_name_or_path ?? null };
}
