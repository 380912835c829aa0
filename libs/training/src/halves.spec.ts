import { encodeHalves, roundToBf16, toBf16, toF16 } from './halves';

const bitsOf = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0] as number;

/** Every finite binary16 that is not negative, by its bits. */
const halves = Array.from({ length: 0x7c00 }, (_, bits) => {
  const [exponent, fraction] = [bits >> 10, bits & 0x3ff];
  return exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
});

describe('16-bit floats', () => {
  it('keeps every binary16, rounds to the nearest between two, ties to even', () => {
    const wrong = halves.filter((value, bits) => {
      const next = halves[bits + 1];
      if (toF16(bitsOf(value)) !== bits) return true;
      if (next === undefined) return false;
      const between = (share: number) => toF16(bitsOf(value + (next - value) * share));
      return between(0.5) !== bits + (bits % 2) || between(0.4) !== bits || between(0.6) !== bits + 1;
    });
    expect(wrong).toEqual([]);
    expect(toF16(bitsOf(-1.5))).toBe(0xbe00);
  });

  it('has infinity, nothing beyond it, and NaN', () => {
    expect([65519, 65520, Infinity, -1e30].map((value) => toF16(bitsOf(value)))).toEqual([
      0x7bff, 0x7c00, 0x7c00, 0xfc00,
    ]);
    expect(toF16(bitsOf(NaN)) & 0x7fff).toBeGreaterThan(0x7c00);
    expect(
      [1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -3.4e38, Infinity].map((value) => toBf16(bitsOf(value))),
    ).toEqual([0x3f80, 0x3f80, 0x3f82, 0xff80, 0x7f80]);
    expect(toBf16(bitsOf(NaN)) & 0x7fff).toBeGreaterThan(0x7f80);
  });

  it('rounds in place, within a larger buffer too', () => {
    const all = Float32Array.of(1 + 2 ** -9, 1 + 2 ** -9, -(1 + 3 * 2 ** -8), -0);
    roundToBf16(all.subarray(1));
    expect([...all]).toEqual([1 + 2 ** -9, 1, -(1 + 2 ** -6), -0]);
  });

  it('writes little-endian', () => {
    expect([...encodeHalves(Float32Array.of(1, -2), toBf16)]).toEqual([0x80, 0x3f, 0x00, 0xc0]);
  });
});
