import { type DataEstimate, type Recipe, type TokenLengths } from '@lowrank/contracts';
import { type PackedRow, planSteps, type StepPlan } from './plan';
import { type CutSequence, cutRows, sequencesPerRow, splitRows } from './sequences';

/** Tokens that go through the model, and the sum of their sequences' squared lengths, which attention's work grows with. */
export interface TokenWork {
  tokens: number;
  squares: number;
}

/** What training makes of a dataset, from its lengths alone. */
export interface DataPlan {
  data: DataEstimate;
  /** Tokens of each sequence of the largest micro-batch that there can be. */
  largest: number[];
  /** All steps together; and one evaluation. */
  trained: TokenWork;
  held: TokenWork;
  /** All of the dataset's conversations, which a trainer keeps in memory, with their tokens. */
  conversations: number;
  conversationTokens: number;
}

interface Sums extends TokenWork {
  lossTokens: number;
}

function add(sums: Sums, { length, lossTokens }: Pick<CutSequence, 'length' | 'lossTokens'>): void {
  sums.tokens += length;
  sums.squares += length * length;
  sums.lossTokens += lossTokens;
}

function sumsOf(sequences: Iterable<CutSequence>): Sums {
  const sums: Sums = { tokens: 0, squares: 0, lossTokens: 0 };
  for (const sequence of sequences) add(sums, sequence);
  return sums;
}

/** Of all steps: whole passes, and the steps of a last one that ends early, one by one. */
function sumsOfSteps({ totalSteps, stepsPerEpoch, microBatches }: StepPlan, sequences: CutSequence[]): Sums {
  const pass = sumsOf(sequences);
  const passes = Math.floor(totalSteps / stepsPerEpoch);
  const sums: Sums = {
    tokens: passes * pass.tokens,
    squares: passes * pass.squares,
    lossTokens: passes * pass.lossTokens,
  };
  for (let step = passes * stepsPerEpoch; step < totalSteps; step += 1)
    for (const rows of microBatches(step))
      for (const row of rows) for (const index of row) add(sums, sequences[index] as CutSequence);
  return sums;
}

/** The fullest rows that a micro-batch can have, of equal ones those with the longest sequences, as they would lie in it. */
function largestBatch(packed: readonly PackedRow[], lengths: readonly number[], rows: number): number[] {
  const measured = packed.map((row) => {
    const own = row.map((index) => lengths[index] as number);
    return { own, tokens: own.reduce((sum, length) => sum + length, 0), longest: Math.max(...own) };
  });
  measured.sort((a, b) => b.tokens - a.tokens || b.longest - a.longest);
  return measured.slice(0, rows).flatMap(({ own }) => own);
}

/** Sequences by their lengths, in powers of two. */
function histogram(lengths: readonly number[], sequenceLength: number): DataEstimate['lengths'] {
  const counts = new Map<number, number>();
  for (const length of lengths) {
    const power = Math.ceil(Math.log2(length));
    counts.set(power, (counts.get(power) ?? 0) + 1);
  }
  const powers = [...counts.keys()];
  const first = Math.min(...powers);
  return Array.from({ length: Math.max(...powers) - first + 1 }, (_, i) => ({
    upTo: Math.min(2 ** (first + i), sequenceLength),
    sequences: counts.get(first + i) ?? 0,
  }));
}

/** The conversations of one dataset after those of another. */
export function joinLengths(first: TokenLengths, second: TokenLengths): TokenLengths {
  const tokens = new Int32Array(first.tokens.length + second.tokens.length);
  tokens.set(first.tokens);
  tokens.set(second.tokens, first.tokens.length);
  const spans = new Int32Array(first.spans.length + second.spans.length);
  spans.set(first.spans);
  spans.set(second.spans, first.spans.length);
  // Both begin with 0 and end with the number of their spans: the end of one is the beginning of the other.
  const starts = new Int32Array(first.starts.length + second.starts.length - 1);
  starts.set(first.starts);
  starts.set(
    second.starts.map((start) => first.spans.length + start),
    first.starts.length - 1,
  );
  return { tokens, starts, spans };
}

/**
 * Plans a training as a trainer plans it, from the lengths of the dataset's conversations under the base model's tokenizer.
 * The last `validationRows` rows, of a dataset to evaluate on, are held out; 0: those that the recipe holds out.
 * Throws what the trainer would fail with: LowrankError dataset_empty, sequence_too_long.
 */
export function planData(
  { tokens, starts, spans }: TokenLengths,
  recipe: Pick<Recipe, 'objective' | 'training' | 'evaluation'>,
  validationRows = 0,
): DataPlan {
  const { training, evaluation } = recipe;
  const spansOf = (i: number) => spans.subarray(starts[i], starts[i + 1]);
  const rows = tokens.length / sequencesPerRow(recipe);
  const split = splitRows(rows, evaluation.fraction, training.seed, validationRows);
  const train = cutRows(split.train, spansOf, recipe);
  const held = cutRows(split.held, spansOf, recipe);
  const lengths = train.sequences.map(({ length }) => length);
  const plan = planSteps(lengths, recipe);
  const pass = sumsOf(train.sequences);
  const all = sumsOfSteps(plan, train.sequences);
  const heldSums = sumsOf(held.sequences);
  return {
    data: {
      rows: split.train.length,
      heldOutRows: split.held.length,
      truncatedRows: train.truncated + held.truncated,
      droppedRows: train.dropped + held.dropped,
      sequences: train.sequences.length,
      heldOutSequences: held.sequences.length,
      packedRows: plan.packed.length,
      fill: plan.fill,
      tokensPerEpoch: pass.tokens,
      lossTokensPerEpoch: pass.lossTokens,
      stepsPerEpoch: plan.stepsPerEpoch,
      steps: plan.totalSteps,
      tokens: all.tokens,
      lossTokens: all.lossTokens,
      lengths: histogram(lengths, training.sequenceLength),
    },
    largest: largestBatch(plan.packed, lengths, training.rows),
    trained: { tokens: all.tokens, squares: all.squares },
    held: { tokens: heldSums.tokens, squares: heldSums.squares },
    conversations: tokens.length,
    conversationTokens: tokens.reduce((sum, count) => sum + count, 0),
  };
}
