import { bytesKept, keptInBf16 } from './pair-dtype';

const entry = (dtype: string, shape: number[]) => {
  const elements = shape.reduce((product, size) => product * size, 1);
  return { name: 'x', dtype, shape, elements, offset: 0, bytes: elements };
};

it('keeps a pair in bfloat16 when it is told to, or when that holds every value of both', () => {
  const exact = Float32Array.of(0, -0, 1, -1.5, 2 ** -130, Infinity);
  const more = Float32Array.of(1, 1 + 2 ** -20);
  expect(keptInBf16('auto', [exact, exact])).toBe(true);
  expect(keptInBf16('auto', [exact, more])).toBe(false);
  expect(keptInBf16('bf16', [more])).toBe(true);
  expect(keptInBf16('f32', [exact])).toBe(false);
});

it('counts pairs as what they are kept in, and vectors as floats', () => {
  const entries = [entry('BF16', [4, 10]), entry('F32', [10, 4]), entry('BF16', [10])];
  expect(bytesKept('auto', entries)).toBe(2 * 40 + 4 * 40 + 4 * 10);
  expect(bytesKept('bf16', entries)).toBe(2 * 40 + 2 * 40 + 4 * 10);
  expect(bytesKept('f32', entries)).toBe(4 * 90);
});
