import { Matrix, QrDecomposition, SingularValueDecomposition } from 'ml-matrix';

export interface Factors {
  /** [outputs, rank] */
  b: Float32Array;
  /** [rank, inputs] */
  a: Float32Array;
}

/**
 * The best approximation of B · A by a product of rank `rank` (Eckart and Young 1936): U · Σ and Vᵀ of its singular value decomposition, filled up with zeros
 * where B · A has a lower rank. B is [outputs, inner], A [inner, inputs]. The product itself is never made: with QR decompositions B = Q₁R₁ and Aᵀ = Q₂R₂ its decomposition is
 * that of R₁R₂ᵀ, [inner, inner], between Q₁ and Q₂. All in double precision; columns of U have the sign in which their largest element is positive, so
 * that the result is one.
 */
export function truncatedProduct(b: Matrix, a: Matrix, rank: number): Factors {
  const [outputs, inputs] = [b.rows, a.columns];
  const left = orthogonal(b);
  const right = orthogonal(a.transpose());
  const middle = left.r.mmul(right.r.transpose());
  const svd = new SingularValueDecomposition(middle, { autoTranspose: true });
  const kept = Math.min(rank, svd.diagonal.length);
  const order = svd.diagonal
    .map((_, i) => i)
    .sort((i, j) => (svd.diagonal[j] as number) - (svd.diagonal[i] as number));
  const u = left.q.mmul(svd.leftSingularVectors);
  const v = right.q.mmul(svd.rightSingularVectors);
  const factors = { b: new Float32Array(outputs * rank), a: new Float32Array(rank * inputs) };
  for (let i = 0; i < kept; i += 1) {
    const from = order[i] as number;
    let largest = 0;
    for (let row = 0; row < outputs; row += 1) {
      const value = u.get(row, from);
      if (Math.abs(value) > Math.abs(largest)) largest = value;
    }
    const sign = largest < 0 ? -1 : 1;
    const singular = sign * (svd.diagonal[from] as number);
    for (let row = 0; row < outputs; row += 1) factors.b[row * rank + i] = singular * u.get(row, from);
    for (let col = 0; col < inputs; col += 1) factors.a[i * inputs + col] = sign * v.get(col, from);
  }
  return factors;
}

/** Q · R of a matrix; one that is wider than it is high is its own R. */
function orthogonal(matrix: Matrix): { q: Matrix; r: Matrix } {
  if (matrix.rows < matrix.columns) return { q: Matrix.eye(matrix.rows), r: matrix };
  const { orthogonalMatrix: q, upperTriangularMatrix: r } = new QrDecomposition(matrix);
  return { q, r };
}
