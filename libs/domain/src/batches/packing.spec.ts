import { packSequences, packTogether } from './packing';
import { permutation, Stream } from './random';

describe('packSequences', () => {
  it.each([
    ['nothing', [], 10, []],
    ['longest first, into the row that it fills best', [3, 7, 6, 4, 1], 10, [[1, 0], [2, 3], [4]]],
    ['equals in their order', [5, 5, 5], 10, [[0, 1], [2]]],
    ['exact rows', [10, 10], 10, [[0], [1]]],
    ['a tighter row before an earlier one', [6, 8, 2], 10, [[1, 2], [0]]],
  ])('packs %s', (_title, lengths, capacity, expected) => {
    expect(packSequences(lengths, capacity)).toEqual(expected);
  });

  it('takes every sequence once, within capacity, and opens no row in vain', () => {
    const capacity = 64;
    const lengths = [...permutation(500, 3, Stream.Shuffle, 0)].map((value) => 1 + (value % capacity));
    const rows = packSequences(lengths, capacity);
    expect(rows.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
    const sums = rows.map((indices) => indices.reduce((sum, i) => sum + (lengths[i] as number), 0));
    expect(Math.max(...sums)).toBeLessThanOrEqual(capacity);
    // Any-fit: no two rows could be one.
    const [first = 0, second = 0] = [...sums].sort((a, b) => a - b);
    expect(first + second).toBeGreaterThan(capacity);
    expect(packSequences(lengths, capacity)).toEqual(rows);
  });
});

describe('packTogether', () => {
  const lengths = Array.from({ length: 40 }, (_, i) => 3 + (i % 5));

  it('never parts a pair, and leaves none out', () => {
    const packed = packTogether(lengths, 16, 2);
    for (const indices of packed) {
      expect(indices.length % 2).toBe(0);
      for (let i = 0; i < indices.length; i += 2) {
        expect((indices[i] as number) % 2).toBe(0);
        expect(indices[i + 1]).toBe((indices[i] as number) + 1);
      }
      const total = indices.reduce((sum, index) => sum + (lengths[index] as number), 0);
      expect(total).toBeLessThanOrEqual(16);
    }
    expect(packed.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
  });

  it('packs sequences one by one where there are no pairs', () =>
    expect(packTogether(lengths, 16, 1)).toEqual(packSequences(lengths, 16)));
});
