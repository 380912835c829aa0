import { LowrankError, type Recipe } from '@lowrank/contracts';
import { type EncodedRow } from '@lowrank/datasets';
import { packSequences, toSequence, type Sequence, type SequenceSet } from './sequences';

// Of a preference dataset, conversations and sequences come in pairs: chosen, then rejected. A pair is cut, dropped and packed as one.

/** How many sequences a row of the dataset makes: they stay together. */
export type Together = 1 | 2;

export const sequencesPerRow = ({ objective }: Recipe): Together => (objective.type === 'sft' ? 1 : 2);

/** What each of two answers may take of `capacity`: half of it at least, and what the other one leaves. */
function shares(needed: readonly [number, number], capacity: number): [number, number] {
  const half = Math.floor(capacity / 2);
  const share = (own: number, other: number) => Math.min(own, Math.max(half, capacity - other));
  return [share(needed[0], needed[1]), share(needed[1], needed[0])];
}

/**
 * Sequences of pairs of at most sequenceLength tokens together. `indices` say where in the dataset the rows lie, when they are a part
 * of it. Throws LowrankError sequence_too_long when tooLong is 'fail', with the row's number in the dataset.
 */
export function toPairs(
  rows: readonly EncodedRow[],
  training: Recipe['training'],
  indices?: readonly number[],
): SequenceSet {
  const { sequenceLength, tooLong } = training;
  const set: SequenceSet = { sequences: [], truncated: 0, dropped: 0 };
  for (let i = 0; i + 1 < rows.length; i += 2) {
    const pair = [rows[i], rows[i + 1]] as [EncodedRow, EncodedRow];
    const needed = pair.map(({ lossMask }) => lossMask.lastIndexOf(1)) as [number, number];
    const total = needed[0] + needed[1];
    const long = total > sequenceLength;
    if (long && tooLong === 'fail')
      throw new LowrankError(
        'sequence_too_long',
        `the two answers of row ${(indices?.[i / 2] ?? i / 2) + 1} have ${total} tokens with their prompts, training.sequenceLength is ${sequenceLength}`,
      );
    const limits = shares(needed, sequenceLength);
    const [chosen, rejected] = pair.map((row, k) => toSequence(row, limits[k] as number));
    if ((long && tooLong === 'drop') || !chosen || !rejected) set.dropped += 1;
    else {
      set.sequences.push(chosen, rejected);
      if (long) set.truncated += 1;
    }
  }
  return set;
}

/** packSequences for sequences that stay together: indices of sequences by row, in which those of a pair lie side by side. */
export function packTogether(
  sequences: readonly Sequence[],
  capacity: number,
  together: Together,
): number[][] {
  const lengths = Array.from({ length: sequences.length / together }, (_, unit) =>
    sequences.slice(unit * together, (unit + 1) * together).reduce((sum, { length }) => sum + length, 0),
  );
  return packSequences(lengths, capacity).map((row) =>
    row.flatMap((unit) => Array.from({ length: together }, (_, k) => unit * together + k)),
  );
}
