import { LowrankError, type Recipe } from '@lowrank/contracts';
import { packTogether } from './packing';
import { permutation, Stream } from './random';
import { sequencesPerRow } from './sequences';

/** A packed row: indices of its sequences. */
export type PackedRow = readonly number[];

/** Which sequences every optimizer step sees: a function of the step's number, so a resumed run needs no cursor but that. */
export interface StepPlan {
  totalSteps: number;
  stepsPerEpoch: number;
  packed: readonly PackedRow[];
  /** Share of the packed rows' room that tokens take. */
  fill: number;
  /** Rows of each micro-batch of step `step` (0-based). */
  microBatches(step: number): PackedRow[][];
}

/**
 * Packs once and shuffles the packed rows anew for every pass. A pass ends with a smaller micro-batch, and a smaller step, rather
 * than mixing two passes. totalSteps is training.steps, or ceil(epochs · stepsPerEpoch).
 * Throws LowrankError dataset_empty when there is nothing to train on.
 */
export function planSteps(
  lengths: readonly number[],
  recipe: Pick<Recipe, 'objective' | 'training'>,
): StepPlan {
  const { sequenceLength, rows: rowsPerBatch, accumulation, epochs, steps, seed } = recipe.training;
  if (lengths.length === 0)
    throw new LowrankError('dataset_empty', 'no row has anything to learn within training.sequenceLength');
  const packed = packTogether(lengths, sequenceLength, sequencesPerRow(recipe));
  const batchesPerEpoch = Math.ceil(packed.length / rowsPerBatch);
  const stepsPerEpoch = Math.ceil(batchesPerEpoch / accumulation);
  const totalSteps = steps ?? Math.ceil(epochs * stepsPerEpoch);

  let shuffled: { epoch: number; order: Uint32Array } | null = null;
  const orderOf = (epoch: number): Uint32Array => {
    if (shuffled?.epoch !== epoch)
      shuffled = { epoch, order: permutation(packed.length, seed, Stream.Shuffle, epoch) };
    return shuffled.order;
  };
  return {
    totalSteps,
    stepsPerEpoch,
    packed,
    fill: lengths.reduce((sum, length) => sum + length, 0) / (packed.length * sequenceLength),
    microBatches(step) {
      const order = orderOf(Math.floor(step / stepsPerEpoch));
      const first = (step % stepsPerEpoch) * accumulation;
      const last = Math.min(first + accumulation, batchesPerEpoch);
      return Array.from({ length: last - first }, (_, i) => {
        const begin = (first + i) * rowsPerBatch;
        return [...order.subarray(begin, begin + rowsPerBatch)].map((row) => packed[row] as PackedRow);
      });
    },
  };
}

/** Rows of the batches of an evaluation: all sequences in packed order. */
export function evaluationRows(
  lengths: readonly number[],
  recipe: Pick<Recipe, 'objective' | 'training'>,
): PackedRow[][] {
  const { sequenceLength, rows } = recipe.training;
  const packed = packTogether(lengths, sequenceLength, sequencesPerRow(recipe));
  return Array.from({ length: Math.ceil(packed.length / rows) }, (_, i) =>
    packed.slice(i * rows, (i + 1) * rows),
  );
}
