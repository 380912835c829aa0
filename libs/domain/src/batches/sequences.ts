import { LowrankError, type Recipe } from '@lowrank/contracts';
import { permutation, Stream } from './random';

// How rows of a dataset become sequences to train on. What a trainer does and what a preflight predicts is this one code: it needs
// to know only where in a conversation the tokens lie that are to be learnt.

/** Learnt tokens of a conversation as begin, end, begin, end …: [begin, end), ascending. */
export type Spans = ArrayLike<number>;

/** How many conversations a row of the dataset has. Those of a preference, chosen then rejected, are cut, dropped and packed as one. */
export type Together = 1 | 2;

export const sequencesPerRow = ({ objective }: Pick<Recipe, 'objective'>): Together =>
  objective.type === 'sft' ? 1 : 2;

/** A conversation, or the beginning of one, to learn from. */
export interface CutSequence {
  /** Number of the conversation in the dataset. */
  conversation: number;
  /** How many of its tokens are inputs. */
  length: number;
  /** How many of the tokens that follow them are to be learnt. */
  lossTokens: number;
}

export interface CutRows {
  sequences: CutSequence[];
  /** Rows shortened to sequenceLength, and rows left out: too long, or nothing to learn within sequenceLength. */
  truncated: number;
  dropped: number;
}

/** Inputs end before the last token that is learnt: what follows it adds nothing to loss or gradients. */
const neededOf = (spans: Spans): number =>
  spans.length === 0 ? -1 : (spans[spans.length - 1] as number) - 1;

function cut(conversation: number, spans: Spans, limit: number): CutSequence | null {
  const length = Math.min(neededOf(spans), limit);
  let lossTokens = 0;
  for (let i = 0; i < spans.length; i += 2) {
    const begin = Math.max(1, spans[i] as number);
    const end = Math.min(length + 1, spans[i + 1] as number);
    lossTokens += Math.max(0, end - begin);
  }
  return lossTokens === 0 ? null : { conversation, length, lossTokens };
}

/** What one of two answers may take of `capacity`: half of it at least, and what the other one leaves. */
const share = (own: number, other: number, capacity: number): number =>
  Math.min(own, Math.max(Math.floor(capacity / 2), capacity - other));

function tooLong(row: number, needed: number, together: Together, sequenceLength: number): LowrankError {
  const what =
    together === 2
      ? `the two answers of row ${row + 1} have ${needed} tokens with their prompts`
      : `row ${row + 1} has ${needed} tokens`;
  return new LowrankError('sequence_too_long', `${what}, training.sequenceLength is ${sequenceLength}`, [
    { path: 'recipe.training.sequenceLength', message: `row ${row + 1} needs ${needed}` },
  ]);
}

/**
 * The sequences of some rows of a dataset: of at most sequenceLength tokens each, of a preference both together.
 * Throws LowrankError sequence_too_long when tooLong is 'fail', with the row's number.
 */
export function cutRows(
  rows: readonly number[],
  spansOf: (conversation: number) => Spans,
  recipe: Pick<Recipe, 'objective' | 'training'>,
): CutRows {
  const { sequenceLength, tooLong: whenTooLong } = recipe.training;
  const together = sequencesPerRow(recipe);
  const result: CutRows = { sequences: [], truncated: 0, dropped: 0 };
  for (const row of rows) {
    const first = row * together;
    const spans = spansOf(first);
    const needed = neededOf(spans);
    const other = together === 2 ? spansOf(first + 1) : null;
    const otherNeeded = other === null ? 0 : neededOf(other);
    const long = needed + otherNeeded > sequenceLength;
    if (long && whenTooLong === 'fail') throw tooLong(row, needed + otherNeeded, together, sequenceLength);
    const a = cut(first, spans, other === null ? sequenceLength : share(needed, otherNeeded, sequenceLength));
    const b = other && cut(first + 1, other, share(otherNeeded, needed, sequenceLength));
    if ((long && whenTooLong === 'drop') || a === null || (other !== null && b === null)) {
      result.dropped += 1;
      continue;
    }
    result.sequences.push(a);
    if (b !== null) result.sequences.push(b);
    if (long) result.truncated += 1;
  }
  return result;
}

/**
 * Rows to train on and rows held out, both ascending. Held out: round(n · fraction), at least one when fraction > 0, never all.
 */
export function splitRows(
  n: number,
  fraction: number,
  seed: number,
  validation = 0,
): { train: number[]; held: number[] } {
  if (validation > 0) {
    const count = (length: number, first: number) => Array.from({ length }, (_, i) => first + i);
    return { train: count(n - validation, 0), held: count(validation, n - validation) };
  }
  const wanted = fraction === 0 ? 0 : Math.max(1, Math.round(n * fraction));
  const count = Math.min(wanted, n - 1);
  const order = permutation(n, seed, Stream.Split, 0);
  const ascending = (part: Uint32Array) => [...part.toSorted()];
  return {
    train: ascending(order.subarray(Math.max(0, count))),
    held: ascending(order.subarray(0, Math.max(0, count))),
  };
}
