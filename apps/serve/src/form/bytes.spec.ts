import { beginsOneBetween } from './bytes';

it.each([
  [1, 10, 19, true],
  [2, 10, 19, false],
  [1, 200, 250, false],
  [2, 200, 250, true],
  [25, 200, 250, true],
  [26, 200, 250, false],
  [0, -5, 5, true],
  [0, 1, 5, false],
  [-1, -150, -120, true],
  [-13, -150, -120, true],
  [-16, -150, -120, false],
  [9, 1, 999_999_999_999_999, true],
])('%d begins a number between %d and %d: %s', (value, min, max, expected) => {
  expect(beginsOneBetween(value, min, max)).toBe(expected);
});
