import { readSafetensorsHeader, SafetensorsError, type SafetensorsEntry } from '@lowrank/datasets';
import { open } from 'node:fs/promises';
import { encodeHalves, toBf16 } from './halves';

export interface NamedTensor {
  name: string;
  shape: number[];
  values: Float32Array;
}

/** What a tensor is saved in. */
export type SavedDtype = 'F32' | 'BF16';

interface SavedTensor {
  name: string;
  shape: number[];
  /** F32 unless it says otherwise. */
  dtype?: SavedDtype;
}

/** A tensor that is written where it is wanted, so that floats do not lie in memory twice. */
export interface TensorSource extends SavedTensor {
  fill(into: Float32Array): void;
}

const elementBytes = ({ dtype }: SavedTensor): number => (dtype === 'BF16' ? 2 : 4);
const bytesOf = (tensor: SavedTensor): number => elementBytes(tensor) * count(tensor.shape);

const count = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** The beginning of a file of tensors: size of the header, header, blanks up to a multiple of 8 bytes. */
export function encodeHeader(tensors: readonly SavedTensor[]): Buffer {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let at = 0;
  for (const tensor of tensors) {
    const { name, shape, dtype = 'F32' } = tensor;
    const end = at + bytesOf(tensor);
    header[name] = { dtype, shape, data_offsets: [at, end] };
    at = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const encoded = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  encoded.writeBigUInt64LE(BigInt(encoded.length - 8));
  json.copy(encoded, 8);
  return encoded;
}

/**
 * A safetensors file of tensors in float32 or bfloat16 (https://github.com/huggingface/safetensors#format): names sorted, metadata
 * {"format":"pt"}, header padded to a multiple of 8 bytes, as the Python library writes it. Equal tensors give equal bytes. Values are finite.
 */
export function encodeSafetensors(tensors: readonly TensorSource[]): Buffer {
  // Floats first, so that they begin at multiples of four bytes, as the Python library has it too.
  const sorted = [...tensors].sort((a, b) => elementBytes(b) - elementBytes(a) || (a.name < b.name ? -1 : 1));
  const header = encodeHeader(sorted);
  const file = new ArrayBuffer(header.length + sorted.reduce((sum, tensor) => sum + bytesOf(tensor), 0));
  new Uint8Array(file).set(header);
  let at = header.length;
  for (const tensor of sorted) {
    const elements = count(tensor.shape);
    if (tensor.dtype === 'BF16') {
      const values = new Float32Array(elements);
      tensor.fill(values);
      new Uint8Array(file, at).set(encodeHalves(values, toBf16));
    } else tensor.fill(new Float32Array(file, at, elements));
    at += bytesOf(tensor);
  }
  return Buffer.from(file);
}

/** IEEE 754 binary16 → number. */
export function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Values of a tensor as float32; `bytes` are a buffer of their own, so that they lie as floats have to. Throws SafetensorsError. */
export function toFloats(
  bytes: Buffer,
  { dtype, elements, name }: SafetensorsEntry,
  where: string,
): Float32Array {
  switch (dtype) {
    case 'F32':
      return new Float32Array(bytes.buffer, bytes.byteOffset, elements);
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
