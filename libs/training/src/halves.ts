/** float32 as the 16-bit types of weight files, to the nearest, ties to even. Bits of a float32 go in, 16 bits come out. */

/** bfloat16: the upper half of a float32. */
export function toBf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** IEEE 754 binary16; what is too large becomes infinite. */
export function toF16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  const exponent = (magnitude >>> 23) - 112;
  if (exponent >= 31) return sign | 0x7c00;
  // 24 bits of fraction, the leading one included, of which those above `shift` stay.
  const shift = exponent > 0 ? 13 : 14 - exponent;
  if (shift > 24) return sign;
  const fraction = exponent > 0 ? magnitude & 0x7fffff : (magnitude & 0x7fffff) | 0x800000;
  const rounded = (fraction + (1 << (shift - 1)) - 1 + ((fraction >>> shift) & 1)) >>> shift;
  // A carry out of the fraction is one more in the exponent, which is what it means.
  const value = exponent > 0 ? (exponent << 10) + rounded : rounded;
  return sign | Math.min(value, 0x7c00);
}

/** float32 values that bfloat16 holds, in their place. */
export function roundToBf16(values: Float32Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i += 1) bits[i] = toBf16(bits[i] as number) << 16;
}

/** float32 values as 16-bit ones, little-endian. */
export function encodeHalves(values: Float32Array, half: (bits: number) => number): Buffer {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i += 1) out[i] = half(bits[i] as number);
  return Buffer.from(out.buffer);
}
