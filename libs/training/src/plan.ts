import { LowrankError, type Recipe } from '@lowrank/contracts';
import { packTogether, sequencesPerRow } from './pairs';
import { permutation, Stream } from './random';
import { toBatch, type Batch, type Sequence } from './sequences';

/** Which data every optimizer step sees: a function of the step's number, so a resumed run needs no cursor but that. */
export interface Plan {
  totalSteps: number;
  stepsPerEpoch: number;
  /** Packed rows in one pass over the data. */
  rows: number;
  /** Share of the packed rows' room that tokens take, for the log. */
  fill: number;
  /** Micro-batches of step `step` (0-based). */
  microBatches(step: number): Batch[];
}

/**
 * Packs once and shuffles the packed rows anew for every pass. A pass ends with a smaller micro-batch, and a smaller step, rather
 * than mixing two passes. totalSteps is training.steps, or ceil(epochs · stepsPerEpoch).
 * Throws LowrankError dataset_empty when there is nothing to train on.
 */
export function planTraining(sequences: readonly Sequence[], recipe: Recipe): Plan {
  const { training } = recipe;
  const { sequenceLength, rows: rowsPerBatch, accumulation, epochs, steps, seed } = training;
  if (sequences.length === 0)
    throw new LowrankError('dataset_empty', 'no row has anything to learn within training.sequenceLength');
  const packed = packTogether(sequences, sequenceLength, sequencesPerRow(recipe));
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
    rows: packed.length,
    fill: sequences.reduce((sum, { length }) => sum + length, 0) / (packed.length * sequenceLength),
    microBatches(step) {
      const order = orderOf(Math.floor(step / stepsPerEpoch));
      const first = (step % stepsPerEpoch) * accumulation;
      const last = Math.min(first + accumulation, batchesPerEpoch);
      return Array.from({ length: last - first }, (_, i) => {
        const begin = (first + i) * rowsPerBatch;
        const rows = [...order.subarray(begin, begin + rowsPerBatch)];
        return toBatch(
          sequences,
          rows.map((row) => packed[row] as number[]),
        );
      });
    },
  };
}

/** Batches of all sequences in packed order, for evaluations. */
export function evaluationBatches(sequences: readonly Sequence[], recipe: Recipe): Batch[] {
  const { training } = recipe;
  const packed = packTogether(sequences, training.sequenceLength, sequencesPerRow(recipe));
  return Array.from({ length: Math.ceil(packed.length / training.rows) }, (_, i) =>
    toBatch(sequences, packed.slice(i * training.rows, (i + 1) * training.rows)),
  );
}
