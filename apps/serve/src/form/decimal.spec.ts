import { canBecome, decimalLimits } from './decimal';
import { type DecimalNode } from './node';

const integers = (minimum: number, maximum: number, multipleOf?: number): DecimalNode => ({
  ...{ kind: 'decimal', id: 1, height: 1 },
  ...decimalLimits({ minimum, maximum, multipleOf }, true),
});

it.each([
  [1, 10, 19, 1, true],
  [2, 10, 19, 1, false],
  [1, 200, 250, 1, false],
  [2, 200, 250, 1, true],
  [25, 200, 250, 1, true],
  [26, 200, 250, 1, false],
  [1, -5, 5, 1, true],
  [-1, -150, -120, 1, true],
  [-13, -150, -120, 1, true],
  [-16, -150, -120, 1, false],
  [9, 1, 999_999_999_999_999, 1, true],
  [11, 1, 200, 7, true],
  [11, 1, 111, 7, false],
  [-2, -30, -20, 9, true],
  [-2, -26, -20, 9, false],
])('%d begins a number between %d and %d that is a multiple of %d: %s', (value, min, max, step, expected) => {
  const begun = { negative: value < 0, whole: Math.abs(value), digits: 0, fraction: 0, open: true };
  expect(canBecome(integers(min, max, step), begun)).toBe(expected);
});

it.each([
  [{ multipleOf: 0.25, minimum: -1, exclusiveMaximum: 0.8 }, false, [-100n, 75n, 25n, 2]],
  [{ multipleOf: 2.5, minimum: 1 }, true, [5n, 999_999_999_999_995n, 5n, 0]],
  [{ multipleOf: 1e-3, maximum: 0.0015 }, false, [-999_999_999_999_999n, 1n, 1n, 3]],
  [{ multipleOf: 300, minimum: 0, maximum: 700 }, false, [0n, 600n, 300n, 0]],
])('%j has multiples from one to another', (limits, whole, [low, high, step, places]) => {
  expect(decimalLimits(limits, whole)).toEqual({ low, high, step, places });
});
