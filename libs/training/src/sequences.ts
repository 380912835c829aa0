import { LowrankError, type Recipe } from '@lowrank/contracts';
import { type EncodedRow } from '@lowrank/datasets';
import { type PackedBatch } from '@lowrank/kernels';
import { permutation, Stream } from './random';

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

/** Inputs end before the last token that is learnt: what follows it adds nothing to loss or gradients. */
export function toSequence(row: EncodedRow, limit: number): Sequence | null {
  const { lossMask } = row;
  const length = Math.min(lossMask.lastIndexOf(1), limit);
  let lossTokens = 0;
  for (let t = 1; t <= length; t += 1) if (lossMask[t] === 1) lossTokens += 1;
  return lossTokens === 0 ? null : { row, length, lossTokens };
}

export interface SequenceSet {
  sequences: Sequence[];
  /** Rows shortened to sequenceLength, and rows left out: too long, or nothing to learn within sequenceLength. */
  truncated: number;
  dropped: number;
}

/**
 * Sequences of at most sequenceLength tokens. `indices` say where in the dataset the rows lie, when they are a part of it.
 * Throws LowrankError sequence_too_long when tooLong is 'fail', with the row's number in the dataset.
 */
export function toSequences(
  rows: readonly EncodedRow[],
  training: Recipe['training'],
  indices?: readonly number[],
): SequenceSet {
  const { sequenceLength, tooLong } = training;
  const set: SequenceSet = { sequences: [], truncated: 0, dropped: 0 };
  rows.forEach((row, i) => {
    const needed = row.lossMask.lastIndexOf(1);
    const long = needed > sequenceLength;
    if (long && tooLong === 'fail')
      throw new LowrankError(
        'sequence_too_long',
        `row ${(indices?.[i] ?? i) + 1} has ${needed} tokens, training.sequenceLength is ${sequenceLength}`,
      );
    const sequence = long && tooLong === 'drop' ? null : toSequence(row, sequenceLength);
    if (sequence === null) set.dropped += 1;
    else {
      set.sequences.push(sequence);
      if (long) set.truncated += 1;
    }
  });
  return set;
}

/**
 * Rows to train on and rows held out, both ascending. Held out: round(n · fraction), at least one when fraction > 0, never all.
 */
export function splitRows(n: number, fraction: number, seed: number): { train: number[]; held: number[] } {
  const wanted = fraction === 0 ? 0 : Math.max(1, Math.round(n * fraction));
  const count = Math.min(wanted, n - 1);
  const order = permutation(n, seed, Stream.Split, 0);
  const ascending = (part: Uint32Array) => [...part].sort((a, b) => a - b);
  return {
    train: ascending(order.subarray(Math.max(0, count))),
    held: ascending(order.subarray(0, Math.max(0, count))),
  };
}

/**
 * Packs sequences into rows of at most `capacity` tokens: best-fit decreasing (each sequence, longest first, into the row that it
 * fills best). Returns indices of sequences by row. A sequence never crosses rows.
 */
export function packSequences(lengths: readonly number[], capacity: number): number[][] {
  const rows: number[][] = [];
  const rowsByRoom: number[][] = Array.from({ length: capacity + 1 }, () => []);
  const order = lengths
    .map((_, i) => i)
    .sort((a, b) => (lengths[b] as number) - (lengths[a] as number) || a - b);
  for (const index of order) {
    const length = lengths[index] as number;
    let room = length;
    while (room < capacity && rowsByRoom[room]?.length === 0) room += 1;
    const row = rowsByRoom[room]?.pop();
    if (row === undefined) {
      rows.push([index]);
      rowsByRoom[capacity - length]?.push(rows.length - 1);
    } else {
      rows[row]?.push(index);
      rowsByRoom[room - length]?.push(row);
    }
  }
  return rows;
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
