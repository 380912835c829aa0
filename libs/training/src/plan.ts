import { type Recipe } from '@lowrank/contracts';
import { evaluationRows, planSteps } from '@lowrank/domain';
import { toBatch, type Batch, type Sequence } from './sequences';

/** Which data every optimizer step sees: planSteps of libs/domain, with the tokens. */
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

const lengthsOf = (sequences: readonly Sequence[]): number[] => sequences.map(({ length }) => length);

/** Throws LowrankError dataset_empty when there is nothing to train on. */
export function planTraining(sequences: readonly Sequence[], recipe: Recipe): Plan {
  const { totalSteps, stepsPerEpoch, packed, fill, microBatches } = planSteps(lengthsOf(sequences), recipe);
  return {
    totalSteps,
    stepsPerEpoch,
    rows: packed.length,
    fill,
    microBatches: (step) => microBatches(step).map((rows) => toBatch(sequences, rows)),
  };
}

/** Batches of all sequences in packed order, for evaluations. */
export const evaluationBatches = (sequences: readonly Sequence[], recipe: Recipe): Batch[] =>
  evaluationRows(lengthsOf(sequences), recipe).map((rows) => toBatch(sequences, rows));
