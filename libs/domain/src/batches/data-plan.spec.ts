import { recipeSchema, type RecipeInput } from '@lowrank/contracts';
import { lengthsOf } from '../test/world';
import { joinLengths, planData } from './data-plan';
import { planSteps } from './plan';

const recipe = (input: RecipeInput = {}) =>
  recipeSchema.parse({
    ...input,
    training: { sequenceLength: 32, rows: 2, epochs: 1, ...input.training },
    evaluation: { fraction: 0, ...input.evaluation },
  });
// Inputs end before the last token: sequences of 9, 19, 29 and 31 of the rows that fit.
const rows = [10, 20, 30, 32];

it('counts rows, sequences, tokens and steps', () => {
  const { data, largest, trained } = planData(lengthsOf(rows), recipe());
  expect(data).toMatchObject({
    rows: 4,
    heldOutRows: 0,
    truncatedRows: 0,
    droppedRows: 0,
    sequences: 4,
    packedRows: 3,
    tokensPerEpoch: 9 + 19 + 29 + 31,
    lossTokensPerEpoch: 5 + 10 + 15 + 16,
    stepsPerEpoch: 2,
    steps: 2,
    tokens: 88,
    lossTokens: 46,
  });
  expect(data.fill).toBeCloseTo(88 / (3 * 32), 12);
  // 31 in a row, 29 in another; 19 and 9 make 28.
  expect(largest).toEqual([31, 29]);
  expect(trained).toEqual({ tokens: 88, squares: 81 + 361 + 841 + 961 });
});

it('cuts, drops and refuses as the trainer does', () => {
  const long = lengthsOf([10, 40, 100]);
  // Of 40 tokens the first learnt one is the 20th, of 100 the 50th: beyond 32.
  expect(planData(long, recipe()).data).toMatchObject({ truncatedRows: 1, droppedRows: 1, sequences: 2 });
  const drop = recipe({ training: { tooLong: 'drop' } });
  expect(planData(long, drop).data).toMatchObject({ truncatedRows: 0, droppedRows: 2, sequences: 1 });
  expect(() => planData(long, recipe({ training: { tooLong: 'fail' } }))).toThrow(
    expect.objectContaining({ code: 'sequence_too_long' }) as Error,
  );
  expect(() => planData(lengthsOf([100]), recipe())).toThrow(
    expect.objectContaining({ code: 'dataset_empty' }) as Error,
  );
});

it('knows pairs', () => {
  const { data } = planData(lengthsOf([10, 12, 9, 9]), recipe({ objective: { type: 'dpo' } }));
  expect(data).toMatchObject({ rows: 2, sequences: 4, packedRows: 2, tokensPerEpoch: 9 + 11 + 8 + 8 });
});

it('holds rows out', () => {
  const many = lengthsOf(Array.from({ length: 100 }, (_, i) => 4 + (i % 20)));
  const { data, held } = planData(many, recipe({ evaluation: { fraction: 0.1 } }));
  expect(data).toMatchObject({ rows: 90, heldOutRows: 10, heldOutSequences: 10 });
  const whole = planData(many, recipe());
  expect(held.tokens + data.tokensPerEpoch).toBe(whole.data.tokensPerEpoch);
});

it.each([0.3, 1, 1.5, 2.75])('adds up the tokens of %d epochs step by step', (epochs) => {
  const many = Array.from({ length: 60 }, (_, i) => 3 + ((i * 7) % 29));
  const chosen = recipe({ training: { epochs } });
  const lengths = many.map((tokens) => tokens - 1);
  const plan = planSteps(lengths, chosen);
  const tokens = Array.from({ length: plan.totalSteps }, (_, step) => plan.microBatches(step).flat(2))
    .flat()
    .reduce((sum, index) => sum + (lengths[index] as number), 0);
  expect(planData(lengthsOf(many), chosen).data).toMatchObject({ steps: plan.totalSteps, tokens });
});

it('sorts lengths into powers of two, the last no longer than a row', () => {
  const { data } = planData(lengthsOf([5, 6, 10, 17, 30, 33]), recipe({ training: { sequenceLength: 40 } }));
  expect(data.lengths).toEqual([
    { upTo: 4, sequences: 1 },
    { upTo: 8, sequences: 1 },
    { upTo: 16, sequences: 2 },
    { upTo: 32, sequences: 2 },
  ]);
  expect(planData(lengthsOf([39]), recipe({ training: { sequenceLength: 40 } })).data.lengths).toEqual([
    { upTo: 40, sequences: 1 },
  ]);
});

it('trains on all of a dataset when another one is to evaluate on', () => {
  const [own, other] = [lengthsOf(rows), lengthsOf([12, 14])];
  const alone = planData(own, recipe());
  const { data, held, trained } = planData(
    joinLengths(own, other),
    recipe({ evaluation: { fraction: 0.5 } }),
    2,
  );
  expect(data).toEqual({ ...alone.data, heldOutRows: 2, heldOutSequences: 2 });
  expect(trained).toEqual(alone.trained);
  expect(held).toEqual({ tokens: 11 + 13, squares: 121 + 169 });
});
