import { type Recipe } from '@lowrank/contracts';
import { type EncodedRow, learntSpans } from '@lowrank/datasets';
import { cutRows, type CutRows, sequencesPerRow } from '@lowrank/domain';
import { type PackedBatch } from '@lowrank/kernels';

/** A conversation, or the beginning of one, to learn from. A dataset has many: nothing is copied until a batch is made of them. */
export interface Sequence {
  row: EncodedRow;
  /** How many of the row's tokens are inputs. */
  length: number;
  /** How many of the tokens that follow them are to be learnt. */
  lossTokens: number;
  /** Σ log p of the targets under the bare base, where the objective compares with it. */
  reference?: number;
}

/** Sequences as the kernels take them; `reference` for each sequence, where the objective needs it. */
export interface Batch extends PackedBatch {
  reference?: Float64Array;
}

const NO_LOSS = -100;

export interface SequenceSet extends Omit<CutRows, 'sequences'> {
  sequences: Sequence[];
}

/**
 * Sequences of a dataset's conversations, of all its rows or of those that `rows` names. Throws LowrankError sequence_too_long when
 * training.tooLong is 'fail', with the row's number in the dataset.
 */
export function toSequences(
  conversations: readonly EncodedRow[],
  recipe: Pick<Recipe, 'objective' | 'training'>,
  rows: readonly number[] = Array.from(
    { length: conversations.length / sequencesPerRow(recipe) },
    (_, row) => row,
  ),
): SequenceSet {
  const of = (conversation: number) => conversations[conversation] as EncodedRow;
  const { sequences, ...counts } = cutRows(rows, (i) => learntSpans(of(i).lossMask), recipe);
  return {
    ...counts,
    sequences: sequences.map(({ conversation, length, lossTokens }) => ({
      row: of(conversation),
      length,
      lossTokens,
    })),
  };
}

/** The packed batch of some rows, one after the other. */
export function toBatch(sequences: readonly Sequence[], rows: readonly (readonly number[])[]): Batch {
  const parts = rows.flat().map((index) => sequences[index] as Sequence);
  const starts = new Int32Array(parts.length + 1);
  parts.forEach(({ length }, i) => (starts[i + 1] = (starts[i] as number) + length));
  const total = starts[parts.length] as number;
  const tokens = new Int32Array(total);
  const targets = new Int32Array(total);
  parts.forEach(({ row, length }, i) => {
    const start = starts[i] as number;
    tokens.set(row.tokens.subarray(0, length), start);
    for (let t = 0; t < length; t += 1)
      targets[start + t] = row.lossMask[t + 1] === 1 ? (row.tokens[t + 1] as number) : NO_LOSS;
  });
  if (parts.some(({ reference }) => reference === undefined)) return { tokens, targets, starts };
  return { tokens, targets, starts, reference: Float64Array.from(parts, (part) => part.reference as number) };
}

export function lossTokens(batch: PackedBatch): number {
  return batch.targets.reduce((count, target) => count + (target === NO_LOSS ? 0 : 1), 0);
}
