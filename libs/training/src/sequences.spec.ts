import { type EncodedRow } from '@lowrank/datasets';
import { makeRecipe } from '@lowrank/testing';
import { makeSequence } from '../test/tiny';
import { permutation, Stream } from './random';
import { lossTokens, packSequences, splitRows, toBatch, toSequences } from './sequences';

const training = (tooLong: 'truncate' | 'drop' | 'fail' = 'truncate') =>
  makeRecipe({ training: { sequenceLength: 16, tooLong } }).training;

/** A row of tokens 100, 101, …; the mask says which are learnt. */
const row = (mask: string): EncodedRow => ({
  tokens: Int32Array.from(mask, (_, t) => 100 + t),
  lossMask: Uint8Array.from(mask, Number),
});
const plain = (rows: EncodedRow[], tooLong?: 'truncate' | 'drop' | 'fail') => {
  const { sequences, truncated, dropped } = toSequences(rows, training(tooLong));
  return {
    sequences: sequences.map((sequence) => {
      const { tokens, targets } = toBatch([sequence], [[0]]);
      return [[...tokens], [...targets], sequence.lossTokens];
    }),
    truncated,
    dropped,
  };
};

describe('toSequences', () => {
  it.each([
    ['a prompt and an answer', '00011', [100, 101, 102, 103], [-100, -100, 103, 104], 2],
    ['what follows the answer', '001100', [100, 101, 102], [-100, 102, 103], 2],
    ['two answers', '0100100', [100, 101, 102, 103], [101, -100, -100, 104], 2],
    // Nothing comes before the first token that could predict it.
    ['an answer from the first token on', '111', [100, 101], [101, 102], 2],
  ])('shifts the targets of %s', (_title, mask, tokens, targets, count) => {
    expect(plain([row(mask)])).toEqual({ sequences: [[tokens, targets, count]], truncated: 0, dropped: 0 });
  });

  it.each(['0000', '1000', '1', ''])('leaves out a row with nothing to learn: "%s"', (mask) => {
    expect(plain([row(mask)])).toEqual({ sequences: [], truncated: 0, dropped: 1 });
  });

  // 16 inputs have 16 targets, so that 17 tokens fit; a prompt's tail or what follows the answer does not count.
  it('takes rows that just fit whatever is done with longer ones', () => {
    const fits = ['0'.repeat(15) + '11', '0'.repeat(16) + '1' + '0'.repeat(30)].map(row);
    for (const tooLong of ['truncate', 'drop', 'fail'] as const)
      expect(toSequences(fits, training(tooLong))).toMatchObject({
        sequences: [{ lossTokens: 2 }, { lossTokens: 1 }],
        truncated: 0,
        dropped: 0,
      });
  });

  const long = [row('01'), row('0'.repeat(14) + '1'.repeat(9)), row('0'.repeat(17) + '1'), row('001')];

  it('truncates, and leaves out what then has nothing to learn', () => {
    const { sequences, truncated, dropped } = plain(long, 'truncate');
    expect([truncated, dropped]).toEqual([1, 1]);
    expect(sequences).toHaveLength(3);
    const [tokens, targets, count] = sequences[1] as [number[], number[], number];
    expect(tokens).toEqual(Array.from({ length: 16 }, (_, t) => 100 + t));
    expect(targets).toEqual([...Array<number>(13).fill(-100), 114, 115, 116]);
    expect(count).toBe(3);
  });

  it('drops', () => {
    const { sequences, truncated, dropped } = plain(long, 'drop');
    expect(sequences.map(([tokens]) => (tokens as number[]).length)).toEqual([1, 2]);
    expect([truncated, dropped]).toEqual([0, 2]);
  });

  it.each([
    [undefined, /^row 2 has 22 tokens, training\.sequenceLength is 16$/],
    [[4, 9, 11, 12], /^row 10 has 22 tokens/],
  ])('fails with the number of the row in the dataset (indices %j)', (indices, message) => {
    let thrown: unknown;
    try {
      toSequences(long, training('fail'), indices);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'sequence_too_long', message: expect.stringMatching(message) });
  });
});

describe('splitRows', () => {
  it.each([
    [0, 0.1, 0],
    [1, 0.5, 0],
    [2, 0.5, 1],
    [2, 0.01, 1],
    [10, 0, 0],
    [10, 0.01, 1],
    [10, 0.25, 3],
    [1000, 0.05, 50],
  ])('of %i rows at %d holds out %i', (n, fraction, expected) => {
    const { train, held } = splitRows(n, fraction, 42);
    expect(held).toHaveLength(expected);
    expect([...train, ...held].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
    for (const part of [train, held]) expect(part).toEqual([...part].sort((a, b) => a - b));
  });

  it('depends on the seed alone', () => {
    expect(splitRows(200, 0.1, 1)).toEqual(splitRows(200, 0.1, 1));
    expect(splitRows(200, 0.1, 1).held).not.toEqual(splitRows(200, 0.1, 2).held);
  });
});

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

describe('toBatch', () => {
  it('begins a segment with every sequence, so that none sees another', () => {
    const sequences = [makeSequence(3, 1), makeSequence(2, 50, 1), makeSequence(4, 90, 2)];
    const batch = toBatch(sequences, [[2, 0], [1]]);
    expect([...batch.starts]).toEqual([0, 4, 7, 9]);
    expect([...batch.tokens]).toEqual([90, 97, 104, 111, 1, 8, 15, 50, 57]);
    expect([...batch.targets]).toEqual([-100, -100, 111, 118, 8, 15, 22, -100, 64]);
    expect(lossTokens(batch)).toBe(3 + 1 + 2);
  });
});
