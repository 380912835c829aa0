import { recipeSchema } from '@lowrank/contracts';
import { withSmallerMicroBatches } from './micro-batches';

describe('smaller micro-batches', () => {
  const recipe = (rows: number, accumulation: number) =>
    recipeSchema.parse({ training: { rows, accumulation } });
  const sizes = (rows: number, accumulation: number, times: number) => {
    const smaller = withSmallerMicroBatches(recipe(rows, accumulation), times);
    return smaller && [smaller.training.rows, smaller.training.accumulation];
  };

  it('have the same effective batch', () => {
    expect(sizes(4, 3, 0)).toEqual([4, 3]);
    expect(sizes(4, 3, 1)).toEqual([2, 6]);
    expect(sizes(4, 3, 2)).toEqual([1, 12]);
    expect(sizes(9, 1, 1)).toEqual([3, 3]);
    expect(sizes(7, 2, 1)).toEqual([1, 14]);
  });

  it('change nothing else', () => {
    const before = recipe(4, 3);
    const after = withSmallerMicroBatches(before, 1);
    expect({ ...after, training: before.training }).toEqual(before);
  });

  it('end at one row, and at the most that can be accumulated', () => {
    expect(sizes(2, 1, 2)).toBeNull();
    expect(sizes(1, 1, 1)).toBeNull();
    expect(sizes(4, 1024, 1)).toBeNull();
  });
});
