import { type Recipe } from '@lowrank/contracts';
import { type AdamW, type Adapter, type Base, type Group } from '@lowrank/kernels';
import { type Measured, objectiveOf } from './objective';
import { type Batch } from './sequences';

/** A micro-batch of an optimizer step, by its place among them. */
export interface MicroBatch {
  number: number;
  batch: Batch;
  dropoutSeed: bigint;
}

/** One optimizer step, or what one of several ranks has to do of it. Plain data. */
export interface StepWork {
  /** Micro-batches of the whole step. */
  count: number;
  /** Those to compute here, in their order. */
  microBatches: MicroBatch[];
  /** What a token (pair) weighs: 1 / (tokens with loss, or pairs, of the whole step). */
  lossScale: number;
  settings: AdamW;
}

/** What a micro-batch's loss was before the update. */
export interface MicroBatchLoss {
  number: number;
  loss: Measured;
}

/** Where steps are computed. */
export interface Place {
  base: Base;
  adapter: Adapter;
  recipe: Pick<Recipe, 'objective' | 'training'>;
  /** With whom the gradients are added up; null: the step is this place's alone. */
  group: Group | null;
}

/** Those of all micro-batches that a rank computes: they go to ranks in turns. */
export const shareOf = (work: StepWork, rank: number, ranks: number): StepWork => ({
  ...work,
  microBatches: work.microBatches.filter(({ number }) => number % ranks === rank),
});

/**
 * Gradients of the micro-batches add up, those of other ranks too, and AdamW updates the weights: the same bytes whatever the number of ranks.
 * `onLosses`: called once this place's micro-batches are computed, before any rank can have updated its weights. Returns the gradient's norm
 * before clipping; `applied` is false when it was not finite and nothing was updated.
 * Rejects with KernelError; stopped by the signal within a micro-batch or a sum, weights are as they were.
 */
export async function computeStep(
  { base, adapter, recipe, group }: Place,
  { count, microBatches, lossScale, settings }: StepWork,
  onLosses: (losses: MicroBatchLoss[]) => void,
  signal: AbortSignal,
): Promise<{ gradNorm: number; applied: boolean }> {
  const { checkpointActivations, labelSmoothing, neftuneAlpha } = recipe.training;
  const objective = objectiveOf(recipe);
  const losses: MicroBatchLoss[] = [];
  const ranks = group?.ranks ?? 1;
  for (let first = 0; first < count; first += ranks) {
    for (const { number, batch, dropoutSeed } of microBatches) {
      if (number < first || number >= first + ranks) continue;
      const end = batch.tokens.length;
      const rows = { adapter, begin: 0, end, lossScale, dropoutSeed, labelSmoothing, neftuneAlpha };
      const loss = await objective.train(base, batch, rows, { checkpointActivations, signal });
      losses.push({ number, loss });
    }
    const last = first + ranks >= count;
    if (last) onLosses(losses);
    if (group !== null) await adapter.sumGradients(group, last, { signal });
  }
  return adapter.optimizerStep(settings);
}
