import { LowrankError } from '@lowrank/contracts';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

/** Release of PEFT whose format this is. */
const PEFT_VERSION = '0.21.2';
export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';

/** What an adapter of PEFT has to be for this loader: LoRA or DoRA on linear layers, and their biases. */
const configSchema = z.looseObject({
  peft_type: z.literal('LORA'),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  bias: z.enum(['none', 'lora_only', 'all']).default('none'),
  fan_in_fan_out: z.literal(false).default(false),
  use_dora: z.boolean().default(false),
  use_rslora: z.boolean().default(false),
  modules_to_save: z.array(z.string()).max(0).nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
  base_model_name_or_path: z.string().nullish(),
  revision: z.string().nullish(),
  target_modules: z.union([z.array(z.string()), z.string()]).nullish(),
  exclude_modules: z.union([z.array(z.string()), z.string()]).nullish(),
  layers_to_transform: z.union([z.array(z.int()), z.int()]).nullish(),
});

export type AdapterConfig = z.output<typeof configSchema>;

export function unusable(message: string, cause?: unknown): LowrankError {
  return new LowrankError('validation_failed', `the adapter cannot be used: ${message}`, undefined, {
    cause,
  });
}

/** adapter_config.json of a folder in PEFT's format. Throws LowrankError validation_failed. */
export async function readAdapterConfig(folder: string): Promise<AdapterConfig> {
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

/** What every adapter_config.json says that is not told otherwise: LoRA for a causal language model. */
const defaults = {
  alpha_pattern: {},
  bias: 'none',
  exclude_modules: null,
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  layers_pattern: null,
  layers_to_transform: null,
  lora_dropout: 0,
  modules_to_save: null,
  peft_type: 'LORA',
  peft_version: PEFT_VERSION,
  rank_pattern: {},
  task_type: 'CAUSAL_LM',
  use_dora: false,
  use_rslora: false,
};

/** adapter_config.json: keys sorted, two spaces. */
export function encodeAdapterConfig(
  fields: Partial<Record<keyof typeof defaults, unknown>> & {
    base_model_name_or_path: string | null;
    revision: string | null;
    r: number;
    lora_alpha: number;
    target_modules: string | string[];
  },
): string {
  const entries = Object.entries({ ...defaults, ...fields }).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`;
}
