import { type CombineSettings } from '@lowrank/contracts';
import { keyOf, philox, Stream } from '@lowrank/domain';

// Merges element by element, as PEFT has them (peft/utils/merge_utils.py): TIES (Yadav et al. 2023), DARE (Yu et al. 2023).

type MajoritySign = CombineSettings['majoritySign'];

/** The ⌊density · n⌋ values of largest magnitude; 0 in the place of the others. Of equal ones the first are kept. */
export function keepLargest(values: Float32Array, density: number): Float32Array {
  const keep = Math.floor(density * values.length);
  if (keep >= values.length) return values;
  const kept = new Float32Array(values.length);
  if (keep === 0) return kept;
  const smallest = values.map(Math.abs).sort()[values.length - keep] as number;
  let equal = keep;
  for (const value of values) if (Math.abs(value) > smallest) equal -= 1;
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i] as number;
    const magnitude = Math.abs(value);
    if (magnitude > smallest || (magnitude === smallest && equal-- > 0)) kept[i] = value;
  }
  return kept;
}

/**
 * Each value with probability `density`, divided by it so that the expectation stays; 0 in the place of the others. Seed and the numbers of adapter and tensor decide which.
 */
export function keepAtRandom(
  values: Float32Array,
  density: number,
  { seed, adapter, tensor }: { seed: number; adapter: number; tensor: number },
): Float32Array {
  const kept = new Float32Array(values.length);
  const key = keyOf(seed);
  for (let i = 0; i < values.length; i += 4) {
    const draws = philox([i / 4, adapter, tensor, Stream.Prune], key);
    for (let j = i; j < Math.min(i + 4, values.length); j += 1)
      if ((draws[j - i] as number) < density * 2 ** 32) kept[j] = (values[j] as number) / density;
  }
  return kept;
}

/** Σ wᵢ vᵢ */
export function weightedSum(tensors: readonly Float32Array[], weights: readonly number[]): Float32Array {
  const sum = new Float32Array(tensors[0]?.length ?? 0);
  tensors.forEach((values, t) => {
    const weight = weights[t] as number;
    for (let i = 0; i < sum.length; i += 1) sum[i] = (sum[i] as number) + weight * (values[i] as number);
  });
  return sum;
}

/**
 * Mean of wᵢ vᵢ over the tensors whose sign is the majority's in an element, 0 where there is none. The majority is the sign of Σ vᵢ (`total`) or of Σ sign(vᵢ)
 * (`frequency`), positive where that is 0.
 */
export function disjointMean(
  tensors: readonly Float32Array[],
  weights: readonly number[],
  majority: MajoritySign,
): Float32Array {
  const mean = new Float32Array(tensors[0]?.length ?? 0);
  for (let i = 0; i < mean.length; i += 1) {
    let vote = 0;
    for (const values of tensors)
      vote += majority === 'total' ? (values[i] as number) : Math.sign(values[i] as number);
    const sign = vote >= 0 ? 1 : -1;
    let sum = 0;
    let count = 0;
    tensors.forEach((values, t) => {
      if (Math.sign(values[i] as number) !== sign) return;
      sum += (weights[t] as number) * (values[i] as number);
      count += 1;
    });
    mean[i] = sum / Math.max(count, 1);
  }
  return mean;
}
