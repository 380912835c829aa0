import { recipeSchema, type RecipeInput } from '@lowrank/contracts';
import { type EncodedRow } from '@lowrank/datasets';
import { packTogether, toPairs } from './pairs';
import { evaluationBatches, planTraining } from './plan';
import { type Sequence } from './sequences';

/** A conversation of `length` tokens whose last `learnt` are the answer; its sequence has one token less. */
function row(length: number, learnt: number): EncodedRow {
  const lossMask = new Uint8Array(length).fill(1, length - learnt);
  return { tokens: Int32Array.from({ length }, (_, i) => i), lossMask };
}

const training = (input: RecipeInput['training'] = {}) =>
  recipeSchema.parse({ training: { sequenceLength: 16, ...input } }).training;
const lengths = ({ sequences }: { sequences: Sequence[] }) => sequences.map(({ length }) => length);

describe('toPairs', () => {
  it('keeps what fits as it is', () => {
    const set = toPairs([row(9, 3), row(9, 2)], training());
    expect(lengths(set)).toEqual([8, 8]);
    expect(set.sequences.map(({ lossTokens }) => lossTokens)).toEqual([3, 2]);
    expect(set).toMatchObject({ truncated: 0, dropped: 0 });
  });

  it.each([
    ['the longer one, to what the shorter one leaves', [row(6, 2), row(21, 12)], [5, 11]],
    ['both, to half', [row(13, 6), row(21, 14)], [8, 8]],
  ] as const)('cuts %s', (_title, rows, expected) => {
    const set = toPairs(rows, training());
    expect(lengths(set)).toEqual(expected);
    expect(set).toMatchObject({ truncated: 1, dropped: 0 });
  });

  it('drops both when one has nothing left to learn, or when told to', () => {
    expect(toPairs([row(13, 2), row(21, 2)], training())).toMatchObject({ sequences: [], dropped: 1 });
    const set = toPairs([row(9, 3), row(12, 2), row(4, 1), row(4, 1)], training({ tooLong: 'drop' }));
    expect(lengths(set)).toEqual([3, 3]);
    expect(set.dropped).toBe(1);
  });

  it('names the row that is too long', () => {
    const rows = [row(4, 1), row(4, 1), row(9, 3), row(12, 2)];
    expect(() => toPairs(rows, training({ tooLong: 'fail' }))).toThrow(/row 2 have 19 tokens/);
  });
});

describe('packing', () => {
  const { sequences } = toPairs(
    Array.from({ length: 20 }, (_, i) => row(4 + (i % 5), 2)),
    training(),
  );

  it('never parts a pair, and leaves none out', () => {
    const packed = packTogether(sequences, 16, 2);
    for (const indices of packed) {
      expect(indices.length % 2).toBe(0);
      for (let i = 0; i < indices.length; i += 2) {
        expect((indices[i] as number) % 2).toBe(0);
        expect(indices[i + 1]).toBe((indices[i] as number) + 1);
      }
      const total = indices.reduce((sum, index) => sum + (sequences[index]?.length ?? 0), 0);
      expect(total).toBeLessThanOrEqual(16);
    }
    expect(packed.flat().sort((a, b) => a - b)).toEqual(sequences.map((_, i) => i));
  });

  it('gives every micro-batch whole pairs, with the references of its sequences', () => {
    const recipe = recipeSchema.parse({
      objective: { type: 'dpo' },
      training: { sequenceLength: 16, rows: 2, accumulation: 2, epochs: 2 },
    });
    const known = sequences.map((sequence, i) => ({ ...sequence, reference: -i }));
    const plan = planTraining(known, recipe);
    const seen: number[] = [];
    for (let step = 0; step < plan.stepsPerEpoch; step += 1) {
      for (const { starts, reference } of plan.microBatches(step)) {
        expect((starts.length - 1) % 2).toBe(0);
        expect(reference).toHaveLength(starts.length - 1);
        seen.push(...(reference ?? []));
      }
    }
    expect(seen.sort((a, b) => b - a)).toEqual(known.map(({ reference }) => reference));
    expect(evaluationBatches(sequences, recipe)[0]).not.toHaveProperty('reference');
  });
});
