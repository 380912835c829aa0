import { LowrankError, type BaseStorage } from '@lowrank/contracts';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

/** What transformers writes for bitsandbytes, with its defaults; other members say how to compute, not what is stored. */
const quantizationConfigSchema = z.object({
  quant_method: z.string().default('bitsandbytes'),
  load_in_8bit: z.boolean().default(false),
  load_in_4bit: z.boolean().default(false),
  bnb_4bit_quant_type: z.string().default('fp4'),
  bnb_4bit_use_double_quant: z.boolean().default(false),
  bnb_4bit_quant_storage: z.string().default('uint8'),
});

function unsupported(message: string): LowrankError {
  return new LowrankError('base_model_unsupported', `config.json, quantization_config: ${message}`);
}

/**
 * How bitsandbytes has quantized a checkpoint, by its config.json; null when it has not.
 * Throws LowrankError base_model_unsupported for other methods and settings.
 */
export function checkpointQuantization(config: { quantization_config?: unknown }): BaseStorage | null {
  if (config.quantization_config === undefined || config.quantization_config === null) return null;
  const parsed = quantizationConfigSchema.safeParse(config.quantization_config);
  if (!parsed.success) throw unsupported(`${parsed.error.issues[0]?.path.join('.')} is of the wrong type`);
  const settings = parsed.data;
  if (settings.quant_method !== 'bitsandbytes') {
    throw unsupported(
      `weights quantized by '${settings.quant_method.slice(0, 80)}' are not supported; supported: bitsandbytes. Import the 16-bit or 32-bit model`,
    );
  }
  if (settings.load_in_8bit) return { quantization: 'int8', doubleQuantization: false };
  if (!settings.load_in_4bit) throw unsupported('neither load_in_4bit nor load_in_8bit is true');
  const type = settings.bnb_4bit_quant_type;
  if (type !== 'nf4' && type !== 'fp4')
    throw unsupported(`bnb_4bit_quant_type '${type.slice(0, 80)}' is not supported; supported: nf4, fp4`);
  if (settings.bnb_4bit_quant_storage !== 'uint8') {
    throw unsupported(
      `bnb_4bit_quant_storage '${settings.bnb_4bit_quant_storage.slice(0, 80)}' is not supported; supported: uint8`,
    );
  }
  return { quantization: type, doubleQuantization: settings.bnb_4bit_use_double_quant };
}

/** The same of a model folder that has been imported. Throws LowrankError base_model_unsupported. */
export async function readCheckpointQuantization(folder: string): Promise<BaseStorage | null> {
  const config: unknown = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
  return checkpointQuantization(config as { quantization_config?: unknown });
}

export interface TensorShape {
  dtype: string;
  shape: number[];
}

/**
 * The tensors that stand for a linear weight [out, in] once bitsandbytes has quantized it, or null when `has` finds no scales: the
 * layer was left as it is. Contents are checked when the kernel library takes them over.
 */
export function quantizedParts(
  name: string,
  shape: readonly number[],
  { quantization, doubleQuantization }: BaseStorage,
  has: (name: string) => boolean,
): Map<string, TensorShape> | null {
  const [out = 0, inputs = 0] = shape;
  const scale = name.replace(/\.weight$/, '.SCB');
  if (!name.endsWith('.weight') || !(has(`${name}.absmax`) || has(scale))) return null;
  if (quantization === 'int8') {
    return new Map([
      [name, { dtype: 'I8', shape: [out, inputs] }],
      [scale, { dtype: 'F32', shape: [out] }],
    ]);
  }
  const blocks = Math.ceil((out * inputs) / 64);
  const parts = new Map<string, TensorShape>([
    [name, { dtype: 'U8', shape: [Math.ceil((out * inputs) / 2), 1] }],
    [`${name}.absmax`, { dtype: doubleQuantization ? 'U8' : 'F32', shape: [blocks] }],
    [`${name}.quant_map`, { dtype: 'F32', shape: [16] }],
  ]);
  if (!doubleQuantization) return parts;
  return parts
    .set(`${name}.nested_absmax`, { dtype: 'F32', shape: [Math.ceil(blocks / 256)] })
    .set(`${name}.nested_quant_map`, { dtype: 'F32', shape: [256] });
}
