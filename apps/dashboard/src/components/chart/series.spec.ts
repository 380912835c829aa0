import { align, downsample, lowerBound, smooth } from './series';

const count = 100_000;
const x = Float64Array.from({ length: count }, (_, i) => i);
const y = Float64Array.from({ length: count }, (_, i) => Math.sin(i / 500) + 3 * Math.exp(-i / 20_000));

describe('downsample', () => {
  it('keeps of 100,000 points what 800 pixels show: every extreme, in order, and both ends', () => {
    y[54_321] = 99;
    y[12_345] = -99;
    const thin = downsample({ x, y }, 0, count, 800);
    expect(thin.x.length).toBeLessThanOrEqual(2 * 800 + 2);
    expect(Array.from(thin.x)).toEqual([...new Set(Array.from(thin.x))].sort((a, b) => a - b));
    expect([thin.x[0], thin.x[thin.x.length - 1]]).toEqual([0, count - 1]);
    for (const spike of [54_321, 12_345]) {
      const place = Array.from(thin.x).indexOf(spike);
      expect(thin.y[place]).toBe(y[spike]);
    }
    for (let bucket = 0; bucket < 800; bucket++) {
      const [from, to] = [bucket * 125, (bucket + 1) * 125];
      const inside = Array.from(thin.y).filter(
        (_, i) => (thin.x[i] as number) >= from && (thin.x[i] as number) < to,
      );
      expect(Math.max(...inside)).toBe(Math.max(...y.slice(from, to)));
      expect(Math.min(...inside)).toBe(Math.min(...y.slice(from, to)));
    }
  });

  it('shows every point of a stretch that is zoomed into, and one beyond on either side', () => {
    const thin = downsample({ x, y }, 500, 599, 800);
    expect([thin.x.length, thin.x[0], thin.x[thin.x.length - 1]]).toEqual([101, 499, 599]);
  });

  it('passes by what is not a number', () => {
    const holes = Float64Array.from({ length: 1000 }, (_, i) => (i % 2 ? NaN : i));
    const thin = downsample({ x: x.slice(0, 1000), y: holes }, 0, 1000, 10);
    expect(Array.from(thin.y).filter(Number.isFinite)).toContain(998);
  });
});

it('finds places by halving', () => {
  expect([0, 0.5, 99_999, 1e9].map((value) => lowerBound(x, value))).toEqual([0, 1, 99_999, count]);
});

it('smooths without a bias at the beginning', () => {
  expect(Array.from(smooth([2, 2, 2], 0.9)).map((value) => Number(value.toFixed(12)))).toEqual([2, 2, 2]);
  const values = Array.from(smooth([1, NaN, 3], 0.5));
  expect([values[0], values[1]]).toEqual([1, NaN]);
  // (0.5·(0.5·1) + 0.5·3) / (1 − 0.25)
  expect(values[2]).toBeCloseTo(1.75 / 0.75, 12);
});

it('lays lines side by side over all of their x', () => {
  expect(
    align([
      { x: [1, 3], y: [10, 30] },
      { x: [2, 3], y: [NaN, 33] },
    ]),
  ).toEqual([
    [1, 2, 3],
    [10, null, 30],
    [null, null, 33],
  ]);
});
