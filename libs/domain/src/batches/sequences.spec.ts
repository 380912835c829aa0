import { splitRows } from './sequences';

describe('splitRows', () => {
  it.each([
    [0, 0.1, 0],
    [1, 0.5, 0],
    [2, 0.5, 1],
    [2, 0.01, 1],
    [10, 0, 0],
    [10, 0.01, 1],
    [10, 0.25, 3],
    [1000, 0.05, 50],
  ])('of %i rows at %d holds out %i', (n, fraction, expected) => {
    const { train, held } = splitRows(n, fraction, 42);
    expect(held).toHaveLength(expected);
    expect([...train, ...held].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
    for (const part of [train, held]) expect(part).toEqual([...part].sort((a, b) => a - b));
  });

  it('depends on the seed alone', () => {
    expect(splitRows(200, 0.1, 1)).toEqual(splitRows(200, 0.1, 1));
    expect(splitRows(200, 0.1, 1).held).not.toEqual(splitRows(200, 0.1, 2).held);
  });
});
