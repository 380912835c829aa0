import { type Recipe } from '@lowrank/contracts';
import { makeRecipe } from '@lowrank/testing';
import { learningRate, warmupSteps } from './schedule';

type Schedule = Recipe['optimizer']['schedule'];

const rate = (schedule: Schedule, warmupRatio: number, step: number, total = 10): number =>
  learningRate(
    step,
    total,
    makeRecipe({ optimizer: { learningRate: 0.5, schedule, warmupRatio } }).optimizer,
  );

describe('learning rate', () => {
  // By hand: peak 0.5, 10 steps of which 2 warm up; s = (step − 2) / 8.
  it.each<[Schedule, number, number]>([
    ['constant', 0, 0],
    ['constant', 1, 0.25],
    ['constant', 2, 0.5],
    ['constant', 9, 0.5],
    ['linear', 0, 0],
    ['linear', 1, 0.25],
    ['linear', 2, 0.5],
    ['linear', 6, 0.25],
    ['linear', 9, 0.0625],
    ['linear', 10, 0],
    ['cosine', 0, 0],
    ['cosine', 1, 0.25],
    ['cosine', 2, 0.5],
    ['cosine', 4, 0.4267766952966369], // ¼ (1 + √½)
    ['cosine', 6, 0.25],
    ['cosine', 8, 0.07322330470336313], // ¼ (1 − √½)
    ['cosine', 9, 0.019030116872178315], // ¼ (1 + cos ⅞π) = ¼ (1 − √(½ + ½√½))
    ['cosine', 10, 0],
  ])('%s at step %i is %d', (schedule, step, expected) => {
    expect(rate(schedule, 0.2, step)).toBeCloseTo(expected, 14);
  });

  it.each<[Schedule, number[]]>([
    ['constant', [0.5, 0.5, 0.5, 0.5]],
    ['linear', [0.5, 0.375, 0.25, 0.125]],
    ['cosine', [0.5, 0.4267766952966369, 0.25, 0.07322330470336313]],
  ])('%s without warm-up begins at its peak', (schedule, expected) => {
    expected.forEach((value, step) => expect(rate(schedule, 0, step, 4)).toBeCloseTo(value, 14));
  });

  it.each<Schedule>(['constant', 'linear', 'cosine'])(
    '%s that only warms up rises to the end',
    (schedule) => {
      expect([0, 1, 2, 3].map((step) => rate(schedule, 1, step, 4))).toEqual([0, 0.125, 0.25, 0.375]);
    },
  );

  it.each<Schedule>(['constant', 'linear', 'cosine'])('%s of a single step is its peak', (schedule) => {
    expect(rate(schedule, 0, 0, 1)).toBe(0.5);
  });

  it.each([
    [100, 0, 0],
    [100, 0.03, 3],
    [101, 0.03, 4],
    [1, 0.01, 1],
    [7, 1, 7],
  ])('%i steps at ratio %d warm up for %i', (total, ratio, expected) => {
    expect(warmupSteps(total, ratio)).toBe(expected);
  });
});
