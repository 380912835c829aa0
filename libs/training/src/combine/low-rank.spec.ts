import { Matrix } from 'ml-matrix';
import { truncatedProduct } from './low-rank';

/** A matrix of numbers that have no pattern to speak of. */
const matrixOf = (rows: number, cols: number, seed: number): Matrix => {
  const matrix = new Matrix(rows, cols);
  for (let row = 0; row < rows; row += 1)
    for (let col = 0; col < cols; col += 1)
      matrix.set(row, col, Math.sin(seed + 7.3 * row + 1.7 * col * col + row * col));
  return matrix;
};
const back = (values: Float32Array, rows: number, cols: number): Matrix =>
  new Matrix(Array.from({ length: rows }, (_, row) => [...values.subarray(row * cols, (row + 1) * cols)]));
const distance = (a: Matrix, b: Matrix): number => Matrix.sub(a, b).norm();

describe('truncatedProduct', () => {
  it.each([
    { outputs: 12, inner: 4, inputs: 9 },
    { outputs: 3, inner: 8, inputs: 5 },
    { outputs: 20, inner: 6, inputs: 4 },
  ])('gives the product back where the rank suffices: %o', ({ outputs, inner, inputs }) => {
    const [b, a] = [matrixOf(outputs, inner, 1), matrixOf(inner, inputs, 2)];
    const rank = Math.min(outputs, inner, inputs) + 1;
    const found = truncatedProduct(b, a, rank);
    const product = back(found.b, outputs, rank).mmul(back(found.a, rank, inputs));
    expect(distance(product, b.mmul(a))).toBeLessThan(1e-5);
    // What the product has no rank for is zero.
    expect([...found.a.subarray((rank - 1) * inputs)].every((value) => value === 0)).toBe(true);
  });

  it('is the best of a lower rank: the distance is that of the singular values left out', () => {
    // Orthogonal columns make the singular values plain to see: 5, 3, 1, 0.5.
    const b = new Matrix([
      [5, 0, 0, 0],
      [0, 0, 1, 0],
      [0, 3, 0, 0],
      [0, 0, 0, 0.5],
      [0, 0, 0, 0],
    ]);
    const found = truncatedProduct(b, Matrix.eye(4), 2);
    const product = back(found.b, 5, 2).mmul(back(found.a, 2, 4));
    expect(distance(product, b)).toBeCloseTo(Math.hypot(1, 0.5), 6);
  });
});
