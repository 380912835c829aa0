import { type CombineSettings, LowrankError } from '@lowrank/contracts';
import { Matrix } from 'ml-matrix';
import { disjointMean, keepAtRandom, keepLargest, weightedSum } from './elements';
import { truncatedProduct } from './low-rank';
import { type Pair, type Pairs } from './pairs';

/**
 * One adapter made of several on the same base, by PEFT's methods (LoraModel.add_weighted_adapter). Every pair of the result has the same rank, filled
 * up with zeros where it needs less, and scale 1. `cat` is exact, `svd` the best of its rank; the others work on A and B, each on its own, and need
 * adapters of the same rank. A module that an adapter does not have is made of those that have it. Throws LowrankError validation_failed.
 */
export function combine(adapters: readonly Pairs[], settings: CombineSettings): Pairs {
  const highest = Math.max(...adapters.flatMap((pairs) => [...pairs.values()].map(({ rank }) => rank)));
  const wanted = { ...settings, rank: settings.rank ?? highest };
  const combined = partsOf(adapters, settings.weights).map(([module, parts], index): [string, Pair] => [
    module,
    combinePairs(module, index, parts, wanted),
  ]);
  const rank = Math.max(...combined.map(([, pair]) => pair.rank));
  return new Map(combined.map(([module, pair]) => [module, widen(pair, rank)]));
}

/**
 * What the adapters add when they are applied together, each with its weight: pairs of all ranks side by side. `cat` gives the same product by another
 * way of computing, so that one can be held against the other. Throws LowrankError validation_failed.
 */
export function sumOf(adapters: readonly Pairs[], weights: readonly number[]): Pairs {
  return new Map(partsOf(adapters, weights).map(([module, parts]) => [module, concatenate(parts, 'b')]));
}

interface Part {
  pair: Pair;
  /** Number of the adapter that it is of. */
  adapter: number;
  /** Weight of the adapter times scale of the pair. */
  factor: number;
}

/** The pairs of each module, sorted by its name. */
function partsOf(adapters: readonly Pairs[], weights: readonly number[]): [string, Part[]][] {
  if (adapters.length !== weights.length)
    throw invalid('weights', `${adapters.length} adapters need as many weights, not ${weights.length}`);
  const modules = [...new Set(adapters.flatMap((pairs) => [...pairs.keys()]))].sort();
  return modules.map((module) => {
    const parts = adapters.flatMap((pairs, adapter) => {
      const pair = pairs.get(module);
      return pair === undefined ? [] : [{ pair, adapter, factor: (weights[adapter] as number) * pair.scale }];
    });
    checkShapes(module, parts);
    return [module, parts];
  });
}

function combinePairs(
  module: string,
  index: number,
  parts: readonly Part[],
  settings: CombineSettings & { rank: number },
): Pair {
  const { inputs, outputs, rank } = (parts[0] as Part).pair;
  switch (settings.method) {
    case 'cat':
      return concatenate(parts);
    case 'svd': {
      const { a, b, rank: inner } = concatenate(parts);
      const product = truncatedProduct(
        toMatrix(b, outputs, inner),
        toMatrix(a, inner, inputs),
        settings.rank,
      );
      return { ...{ rank: settings.rank, scale: 1, inputs, outputs }, ...product };
    }
    default: {
      const other = parts.find(({ pair }) => pair.rank !== rank);
      if (other !== undefined)
        throw invalid(
          'method',
          `${settings.method} needs adapters of one rank; ${module} has ${rank} and ${other.pair.rank}. cat and svd take any`,
        );
      // The weight goes to A and B by halves, its sign to A alone.
      const roots = parts.map(({ factor }) => Math.sqrt(Math.abs(factor)));
      const signed = roots.map((root, i) => ((parts[i] as Part).factor < 0 ? -root : root));
      const merge = (side: 'a' | 'b', weights: readonly number[]) =>
        mergeElements(parts, side, weights, 2 * index + (side === 'a' ? 0 : 1), settings);
      return { rank, scale: 1, inputs, outputs, a: merge('a', signed), b: merge('b', roots) };
    }
  }
}

function mergeElements(
  parts: readonly Part[],
  side: 'a' | 'b',
  weights: readonly number[],
  tensor: number,
  { method, density, majoritySign, seed }: CombineSettings,
): Float32Array {
  const tensors = parts.map(({ pair }) => pair[side]);
  const largest = () => tensors.map((values) => keepLargest(values, density));
  const random = () =>
    parts.map(({ pair, adapter }) => keepAtRandom(pair[side], density, { seed, adapter, tensor }));
  switch (method) {
    case 'magnitude_prune':
      return weightedSum(largest(), weights);
    case 'ties':
      return disjointMean(largest(), weights, majoritySign);
    case 'dare_linear':
      return weightedSum(random(), weights);
    case 'dare_ties':
      return disjointMean(random(), weights, majoritySign);
    default:
      return weightedSum(tensors, weights);
  }
}

/** [w₁s₁A₁; w₂s₂A₂; …] and [B₁, B₂, …], or with the factors in B: their product is the weighted sum of the adapters' products. */
function concatenate(parts: readonly Part[], weighted: 'a' | 'b' = 'a'): Pair {
  const { inputs, outputs } = (parts[0] as Part).pair;
  const rank = parts.reduce((sum, { pair }) => sum + pair.rank, 0);
  const a = new Float32Array(rank * inputs);
  const b = new Float32Array(outputs * rank);
  let at = 0;
  for (const { pair, factor } of parts) {
    const [ofA, ofB] = weighted === 'a' ? [factor, 1] : [1, factor];
    pair.a.forEach((value, i) => (a[at * inputs + i] = value * ofA));
    for (let row = 0; row < outputs; row += 1)
      for (let col = 0; col < pair.rank; col += 1)
        b[row * rank + at + col] = (pair.b[row * pair.rank + col] as number) * ofB;
    at += pair.rank;
  }
  return { rank, scale: 1, inputs, outputs, a, b };
}

/** The same pair with more rows of A and columns of B, all zero. */
function widen(pair: Pair, rank: number): Pair {
  if (pair.rank === rank) return pair;
  const { inputs, outputs } = pair;
  const a = new Float32Array(rank * inputs);
  const b = new Float32Array(outputs * rank);
  a.set(pair.a);
  for (let row = 0; row < outputs; row += 1)
    b.set(pair.b.subarray(row * pair.rank, (row + 1) * pair.rank), row * rank);
  return { ...pair, rank, a, b };
}

function checkShapes(module: string, parts: readonly Part[]): void {
  const { inputs, outputs } = (parts[0] as Part).pair;
  for (const { pair } of parts)
    if (pair.inputs !== inputs || pair.outputs !== outputs)
      throw invalid(
        'adapters',
        `${module} is ${outputs} × ${inputs} in one and ${pair.outputs} × ${pair.inputs} in another: they are not of one base model`,
      );
}

function toMatrix(values: Float32Array, rows: number, cols: number): Matrix {
  const matrix = new Matrix(rows, cols);
  for (let row = 0; row < rows; row += 1)
    for (let col = 0; col < cols; col += 1) matrix.set(row, col, values[row * cols + col] as number);
  return matrix;
}

const invalid = (field: string, message: string): LowrankError =>
  new LowrankError('validation_failed', `the adapters cannot be combined: ${message}`, [
    { path: field, message },
  ]);
