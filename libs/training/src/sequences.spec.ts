import { type EncodedRow } from '@lowrank/datasets';
import { makeRecipe } from '@lowrank/testing';
import { makeSequence } from '../test/tiny';
import { lossTokens, toBatch, toSequences } from './sequences';

type TooLong = 'truncate' | 'drop' | 'fail';
const recipe = (tooLong: TooLong = 'truncate') => makeRecipe({ training: { sequenceLength: 16, tooLong } });
const preference = (tooLong: TooLong = 'truncate') =>
  makeRecipe({ objective: { type: 'dpo' }, training: { sequenceLength: 16, tooLong } });

/** A row of tokens 100, 101, …; the mask says which are learnt. */
const row = (mask: string): EncodedRow => ({
  tokens: Int32Array.from(mask, (_, t) => 100 + t),
  lossMask: Uint8Array.from(mask, Number),
});
const plain = (rows: EncodedRow[], tooLong?: TooLong) => {
  const { sequences, truncated, dropped } = toSequences(rows, recipe(tooLong));
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
      expect(toSequences(fits, recipe(tooLong))).toMatchObject({
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

  it('takes the rows that it is told to', () => {
    expect(toSequences(long, recipe(), [0, 3]).sequences.map(({ length }) => length)).toEqual([1, 2]);
    expect(toSequences(long, recipe('fail'), [0, 3])).toMatchObject({ truncated: 0, dropped: 0 });
  });

  it.each([undefined, [0, 1]])('fails with the number of the row in the dataset (rows %j)', (rows) => {
    expect(() => toSequences(long, recipe('fail'), rows)).toThrow(
      expect.objectContaining({
        code: 'sequence_too_long',
        message: 'row 2 has 22 tokens, training.sequenceLength is 16',
      }) as Error,
    );
  });
});

/** A conversation of `length` tokens whose last `learnt` are the answer; its sequence has one token less. */
const answered = (length: number, learnt: number): EncodedRow =>
  row('0'.repeat(length - learnt) + '1'.repeat(learnt));
const lengths = ({ sequences }: { sequences: { length: number }[] }) => sequences.map(({ length }) => length);

describe('toSequences of pairs', () => {
  it('keeps what fits as it is', () => {
    const set = toSequences([answered(9, 3), answered(9, 2)], preference());
    expect(lengths(set)).toEqual([8, 8]);
    expect(set.sequences.map(({ lossTokens: count }) => count)).toEqual([3, 2]);
    expect(set).toMatchObject({ truncated: 0, dropped: 0 });
  });

  it.each([
    ['the longer one, to what the shorter one leaves', [answered(6, 2), answered(21, 12)], [5, 11]],
    ['both, to half', [answered(13, 6), answered(21, 14)], [8, 8]],
  ])('cuts %s', (_title, rows, expected) => {
    const set = toSequences(rows, preference());
    expect(lengths(set)).toEqual(expected);
    expect(set).toMatchObject({ truncated: 1, dropped: 0 });
  });

  it('drops both when one has nothing left to learn, or when told to', () => {
    const nothingLeft = toSequences([answered(13, 2), answered(21, 2)], preference());
    expect(nothingLeft).toMatchObject({ sequences: [], dropped: 1 });
    const rows = [answered(9, 3), answered(12, 2), answered(4, 1), answered(4, 1)];
    const set = toSequences(rows, preference('drop'));
    expect(lengths(set)).toEqual([3, 3]);
    expect(set.dropped).toBe(1);
  });

  it('names the row that is too long', () => {
    const rows = [answered(4, 1), answered(4, 1), answered(9, 3), answered(12, 2)];
    expect(() => toSequences(rows, preference('fail'))).toThrow(/row 2 have 19 tokens/);
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
