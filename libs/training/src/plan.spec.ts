import { type RecipeInput } from '@lowrank/contracts';
import { packSequences } from '@lowrank/domain';
import { type PackedBatch } from '@lowrank/kernels';
import { makeRecipe } from '@lowrank/testing';
import { makeSequence } from '../test/tiny';
import { evaluationBatches, planTraining, type Plan } from './plan';

// Told apart by their first tokens.
const sequences = Array.from({ length: 23 }, (_, i) => makeSequence(5 + (i % 4) * 3, i + 1));
const rowCount = packSequences(
  sequences.map(({ length }) => length),
  16,
).length;

type Training = NonNullable<RecipeInput['training']>;
const recipe = (training: Training = {}) =>
  makeRecipe({ training: { sequenceLength: 16, rows: 2, accumulation: 3, ...training } });
const planOf = (training?: Training): Plan => planTraining(sequences, recipe(training));

/** First tokens of a batch's sequences. */
const names = ({ tokens, starts }: PackedBatch): number[] =>
  [...starts.subarray(0, -1)].map((start) => tokens[start] as number);
const pass = (plan: Plan, epoch: number): PackedBatch[] =>
  Array.from({ length: plan.stepsPerEpoch }, (_, i) =>
    plan.microBatches(epoch * plan.stepsPerEpoch + i),
  ).flat();
const all = sequences.map((_, i) => i + 1);

describe('plan', () => {
  it('shows every sequence once in a pass', () => {
    const plan = planOf();
    for (const epoch of [0, 1, 2])
      expect(
        pass(plan, epoch)
          .flatMap(names)
          .sort((a, b) => a - b),
      ).toEqual(all);
  });

  it('shuffles every pass anew, by the seed', () => {
    const order = (epoch: number, seed: number) => pass(planOf({ seed }), epoch).flatMap(names);
    expect(order(0, 1)).toEqual(order(0, 1));
    expect(order(1, 1)).not.toEqual(order(0, 1));
    expect(order(0, 2)).not.toEqual(order(0, 1));
  });

  it('ends a pass with a smaller micro-batch and a smaller step', () => {
    // One sequence fills a row, so that 11 sequences are 11 rows: 5 micro-batches of two and one of one, in steps of four.
    const long = Array.from({ length: 11 }, (_, i) => makeSequence(16, i + 1));
    const plan = planTraining(long, recipe({ accumulation: 4, epochs: 2 }));
    expect(plan).toMatchObject({ rows: 11, fill: 1, stepsPerEpoch: 2, totalSteps: 4 });
    const sizes = [0, 1, 2, 3].map((step) => plan.microBatches(step).map((batch) => names(batch).length));
    expect(sizes).toEqual([
      [2, 2, 2, 2],
      [2, 1],
      [2, 2, 2, 2],
      [2, 1],
    ]);
  });

  it('gives a step its data whatever was asked before', () => {
    const plan = planOf({ epochs: 3 });
    const forward = Array.from({ length: plan.totalSteps }, (_, step) => plan.microBatches(step));
    for (let step = plan.totalSteps - 1; step >= 0; step -= 1)
      expect(plan.microBatches(step)).toEqual(forward[step]);
    expect(planOf({ epochs: 3 }).microBatches(plan.totalSteps - 1)).toEqual(forward.at(-1));
  });

  it('counts rows, fill and steps', () => {
    const tokens = sequences.reduce((sum, sequence) => sum + sequence.length, 0);
    const { rows, fill, stepsPerEpoch } = planOf();
    expect(rows).toBe(rowCount);
    expect(fill).toBeCloseTo(tokens / (rowCount * 16), 12);
    expect(fill).toBeGreaterThan(0.5);
    expect(stepsPerEpoch).toBe(Math.ceil(Math.ceil(rowCount / 2) / 3));
  });

  it.each([
    ['whole passes', { epochs: 3, rows: 1, accumulation: 1 }, 3 * rowCount],
    ['a part of a pass', { epochs: 0.5, rows: 1, accumulation: 1 }, Math.ceil(rowCount / 2)],
    ['the least there is', { epochs: 1e-6 }, 1],
    ['steps instead of passes', { epochs: 3, steps: 100 }, 100],
    ['more room than data', { epochs: 2, rows: 1000, accumulation: 1000 }, 2],
  ])('makes steps of %s', (_title, training, totalSteps) => {
    const plan = planOf(training);
    expect(plan.totalSteps).toBe(totalSteps);
    expect(plan.microBatches(totalSteps - 1).every(({ tokens }) => tokens.length > 0)).toBe(true);
    expect(plan.microBatches(totalSteps - 1).length).toBeGreaterThan(0);
  });

  it('refuses to train on nothing', () => {
    expect(() => planTraining([], recipe())).toThrow(
      expect.objectContaining({ code: 'dataset_empty' }) as Error,
    );
  });
});

describe('evaluation batches', () => {
  it('hold every sequence once, at most `rows` rows each', () => {
    const batches = evaluationBatches(sequences, recipe());
    expect(batches).toHaveLength(Math.ceil(rowCount / 2));
    expect(batches.flatMap(names).sort((a, b) => a - b)).toEqual(all);
    for (const { tokens } of batches) expect(tokens.length).toBeLessThanOrEqual(32);
    expect(evaluationBatches([], recipe())).toEqual([]);
  });
});

describe('pairs', () => {
  it('come whole in every micro-batch, with the references of their sequences', () => {
    const pairs = makeRecipe({
      objective: { type: 'dpo' },
      training: { sequenceLength: 16, rows: 2, accumulation: 2, epochs: 2 },
    });
    const known = Array.from({ length: 40 }, (_, i) => ({ ...makeSequence(3 + (i % 5), i), reference: -i }));
    const plan = planTraining(known, pairs);
    const seen: number[] = [];
    for (let step = 0; step < plan.stepsPerEpoch; step += 1) {
      for (const { starts, reference } of plan.microBatches(step)) {
        expect((starts.length - 1) % 2).toBe(0);
        expect(reference).toHaveLength(starts.length - 1);
        seen.push(...(reference ?? []));
      }
    }
    expect(seen.sort((a, b) => b - a)).toEqual(known.map(({ reference }) => reference));
    const unknown = known.map(({ reference: _reference, ...sequence }) => sequence);
    expect(evaluationBatches(unknown, pairs)[0]).not.toHaveProperty('reference');
  });
});
