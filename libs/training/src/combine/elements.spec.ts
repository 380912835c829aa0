import { disjointMean, keepAtRandom, keepLargest, weightedSum } from './elements';

const values = Float32Array.of(0.5, -3, 0.25, 3, -1, 0);

describe('keepLargest', () => {
  it.each([
    [1, [0.5, -3, 0.25, 3, -1, 0]],
    [0.5, [0, -3, 0, 3, -1, 0]],
    [0.34, [0, -3, 0, 3, 0, 0]],
    // Two are equally large, and one may stay: the first.
    [0.2, [0, -3, 0, 0, 0, 0]],
    [0.1, [0, 0, 0, 0, 0, 0]],
  ])('with density %f', (density, expected) => {
    expect([...keepLargest(values, density)]).toEqual(expected);
  });
});

describe('keepAtRandom', () => {
  const ones = new Float32Array(4001).fill(1);
  const of = { seed: 7, adapter: 1, tensor: 3 };

  it('keeps about the share that it is to keep, and the expectation', () => {
    const kept = keepAtRandom(ones, 0.25, of);
    const sum = kept.reduce((total, value) => total + value, 0);
    expect(new Set(kept)).toEqual(new Set([0, 4]));
    // Four standard deviations of the binomial distribution.
    expect(Math.abs(sum / 4001 - 1)).toBeLessThan(4 * Math.sqrt(3 / 4001));
  });

  it.each([{ seed: 8 }, { adapter: 0 }, { tensor: 2 }])('draws again for %o, and only then', (other) => {
    const kept = keepAtRandom(ones, 0.5, of);
    expect(keepAtRandom(ones, 0.5, of)).toEqual(kept);
    expect(keepAtRandom(ones, 0.5, { ...of, ...other })).not.toEqual(kept);
  });
});

describe('weightedSum', () => {
  it('adds what weights make of the tensors', () => {
    expect([...weightedSum([Float32Array.of(1, 2), Float32Array.of(10, -4)], [2, -0.5])]).toEqual([-3, 6]);
  });
});

describe('disjointMean', () => {
  const tensors = [Float32Array.of(1, -5, 0, 1), Float32Array.of(2, 1, 0, -1), Float32Array.of(-1, 1, 0, 0)];

  it('takes the sign of the sum, and the mean of those that have it', () => {
    expect([...disjointMean(tensors, [1, 1, 1], 'total')]).toEqual([1.5, -5, 0, 1]);
  });
  it('takes the sign that most have', () => {
    expect([...disjointMean(tensors, [1, 2, 4], 'frequency')]).toEqual([2.5, 3, 0, 1]);
  });
});
