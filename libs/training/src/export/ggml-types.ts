import { halfToFloat } from '../safetensors';
import { encodeHalves, toF16 } from '../halves';

/** Types of tensors in GGUF files: number, values in a block, bytes of a block. */
export const ggmlTypes = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  /** 32 values: a binary16 scale d and 32 signed bytes q; a value is d · q. */
  Q8_0: { id: 8, block: 32, bytes: 34 },
} as const;
export type GgmlType = keyof typeof ggmlTypes;

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

function f16Bits(value: number): number {
  float[0] = value;
  return toF16(bits[0] as number);
}

/** Halves away from zero, as ggml rounds. */
const round = (value: number): number => Math.sign(value) * Math.floor(Math.abs(value) + 0.5);

/** ggml's Q8_0 (quantize_row_q8_0): scale max |x| / 127, in float32 until it is stored. */
function encodeQ8(values: Float32Array): Buffer {
  const { block, bytes } = ggmlTypes.Q8_0;
  const out = Buffer.alloc((values.length / block) * bytes);
  for (let begin = 0, at = 0; begin < values.length; begin += block, at += bytes) {
    let largest = 0;
    for (let i = 0; i < block; i += 1) largest = Math.max(largest, Math.abs(values[begin + i] as number));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    out.writeUInt16LE(f16Bits(scale), at);
    for (let i = 0; i < block; i += 1)
      out.writeInt8(round(Math.fround((values[begin + i] as number) * inverse)), at + 2 + i);
  }
  return out;
}

/** float32 values in a type; for Q8_0 their number is a multiple of 32. */
export function encodeValues(values: Float32Array, type: GgmlType): Buffer {
  if (type === 'Q8_0') return encodeQ8(values);
  if (type === 'F16') return encodeHalves(values, toF16);
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

/** What readers take the bytes for. `bytes` begin where floats may lie. */
export function decodeValues(bytes: Buffer, type: GgmlType): Float32Array {
  const { block, bytes: blockBytes } = ggmlTypes[type];
  const length = (bytes.length / blockBytes) * block;
  if (type === 'F32') return new Float32Array(bytes.buffer, bytes.byteOffset, length);
  const out = new Float32Array(length);
  if (type === 'F16') {
    for (let i = 0; i < length; i += 1) out[i] = halfToFloat(bytes.readUInt16LE(2 * i));
    return out;
  }
  for (let begin = 0, at = 0; begin < length; begin += block, at += blockBytes) {
    const scale = halfToFloat(bytes.readUInt16LE(at));
    for (let i = 0; i < block; i += 1) out[begin + i] = scale * bytes.readInt8(at + 2 + i);
  }
  return out;
}
