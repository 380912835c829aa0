import { readSafetensorsHeader, SafetensorsError, type SafetensorsEntry } from '@lowrank/datasets';
import { open } from 'node:fs/promises';

export interface NamedTensor {
  name: string;
  shape: number[];
  values: Float32Array;
}

/**
 * A safetensors file of float32 tensors (https://github.com/huggingface/safetensors#format): names sorted, metadata
 * {"format":"pt"}, header padded to a multiple of 8 bytes, as the Python library writes it. Equal tensors give equal bytes.
 */
export function encodeSafetensors(tensors: readonly NamedTensor[]): Buffer {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let at = 0;
  for (const { name, shape, values } of sorted) {
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + values.byteLength] };
    at += values.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(padded);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(padded.length));
  const data = sorted.map(({ values }) => Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  return Buffer.concat([size, padded, ...data]);
}

function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function toFloats(bytes: Buffer, { dtype, elements, name }: SafetensorsEntry, where: string): Float32Array {
  switch (dtype) {
    case 'F32':
      return Float32Array.from({ length: elements }, (_, i) => bytes.readFloatLE(i * 4));
    case 'F16':
      return Float32Array.from({ length: elements }, (_, i) => halfToFloat(bytes.readUInt16LE(i * 2)));
    case 'BF16': {
      const bits = Uint32Array.from({ length: elements }, (_, i) => bytes.readUInt16LE(i * 2) << 16);
      return new Float32Array(bits.buffer);
    }
    default:
      throw new SafetensorsError(`${where}, tensor '${name}': dtype ${dtype} is none of F32, F16, BF16`);
  }
}

/** Reads every tensor of a safetensors file as float32. Throws SafetensorsError. */
export async function readSafetensors(path: string, where: string): Promise<NamedTensor[]> {
  const entries = await readSafetensorsHeader(path, where);
  const file = await open(path, 'r');
  try {
    const tensors: NamedTensor[] = [];
    for (const entry of entries) {
      const bytes = Buffer.alloc(entry.bytes);
      await file.read(bytes, 0, entry.bytes, entry.offset);
      tensors.push({ name: entry.name, shape: entry.shape, values: toFloats(bytes, entry, where) });
    }
    return tensors;
  } finally {
    await file.close();
  }
}
