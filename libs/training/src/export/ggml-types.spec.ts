import { decodeValues, encodeValues, ggmlTypes } from './ggml-types';

const aligned = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(new ArrayBuffer(bytes.length));
  bytes.copy(copy);
  return copy;
};

describe('types of GGUF tensors', () => {
  it('keeps Q8_0 within half a step of the largest value of its 32', () => {
    const values = Float32Array.from({ length: 96 }, (_, i) => (i < 64 ? Math.sin(i * i) * 3 : 0));
    const bytes = encodeValues(values, 'Q8_0');
    expect(bytes).toHaveLength(3 * ggmlTypes.Q8_0.bytes);
    const read = decodeValues(aligned(bytes), 'Q8_0');
    const errors = values.map((value, i) => Math.abs(value - (read[i] as number)));
    // Half a step, and what the scale loses as a binary16.
    expect(Math.max(...errors)).toBeLessThan((3 / 127) * 0.5 + 3 * 2 ** -11);
    expect([...read.subarray(64)]).toEqual(new Array(32).fill(0));
    expect(
      Math.abs(
        bytes.readInt8(
          2 +
            values
              .subarray(0, 32)
              .map(Math.abs)
              .indexOf(Math.max(...values.subarray(0, 32).map(Math.abs))),
        ),
      ),
    ).toBe(127);
  });

  it('rounds halves away from zero, as ggml does', () => {
    const values = new Float32Array(32);
    values.set([127, 2.5, -2.5, 0.5, -0.5]);
    const bytes = encodeValues(values, 'Q8_0');
    expect([0, 1, 2, 3, 4].map((i) => bytes.readInt8(2 + i))).toEqual([127, 3, -3, 1, -1]);
  });

  it('keeps F32 and every binary16', () => {
    const values = Float32Array.of(1, -0.5, 65504, 2 ** -24);
    for (const type of ['F32', 'F16'] as const)
      expect(decodeValues(aligned(encodeValues(values, type)), type)).toEqual(values);
  });
});
