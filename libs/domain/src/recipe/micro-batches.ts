import { type Recipe, recipeSchema } from '@lowrank/contracts';

const smallestFactor = (value: number): number => {
  for (let factor = 2; factor * factor <= value; factor += 1) if (value % factor === 0) return factor;
  return value;
};

/**
 * The same optimizer steps in smaller micro-batches: rows divided, as many times as asked by their smallest factor, and accumulation
 * multiplied by as much. Null when they cannot be divided so often.
 */
export function withSmallerMicroBatches(recipe: Recipe, times: number): Recipe | null {
  let { rows, accumulation } = recipe.training;
  for (let i = 0; i < times; i += 1) {
    if (rows === 1) return null;
    const factor = smallestFactor(rows);
    rows /= factor;
    accumulation *= factor;
  }
  return (
    recipeSchema.safeParse({ ...recipe, training: { ...recipe.training, rows, accumulation } }).data ?? null
  );
}
