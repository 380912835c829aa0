import { type SafetensorsEntry } from '@lowrank/datasets';

/** How the pairs of an adapter that only answers are kept: in bfloat16 where that loses nothing, in bfloat16 by rounding, or as floats. */
export type PairDtype = 'auto' | 'bf16' | 'f32';

/** Whether bfloat16 holds every value: the lower half of each float is zero. */
function isExact(values: Float32Array): boolean {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i += 1) if (((bits[i] as number) & 0xffff) !== 0) return false;
  return true;
}

/** Whether a pair of these tensors is kept in bfloat16. */
export const keptInBf16 = (dtype: PairDtype, pair: readonly Float32Array[]): boolean =>
  dtype === 'bf16' || (dtype === 'auto' && pair.every(isExact));

/** Bytes that tensors of an adapter's file take in memory; at most, where the values of floats are yet to be looked at. */
export const bytesKept = (dtype: PairDtype, entries: readonly SafetensorsEntry[]): number =>
  entries.reduce((sum, entry) => {
    const isHalf = dtype === 'bf16' || (dtype === 'auto' && entry.dtype === 'BF16');
    return sum + entry.elements * (isHalf && entry.shape.length === 2 ? 2 : 4);
  }, 0);
