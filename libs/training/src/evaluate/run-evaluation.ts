import {
  type BaseStorage,
  type DatasetFormat,
  type EvaluationLimits,
  type EvaluationResult,
  type EvaluationSettings,
  LowrankError,
  type Recipe,
  recipeSchema,
} from '@lowrank/contracts';
import { type ChatTokenizer, type EncodedRow, learntSpans, loadChatTokenizer } from '@lowrank/datasets';
import { type Adapter, type Base } from '@lowrank/kernels';
import { chooseStorage, loadTokens, openQuantizedBase } from '../caches';
import { openDevice } from '../device';
import { isCancelled, publicError } from '../errors';
import { addMeasured, objectiveOf } from '../objective';
import { loadAdapter } from '../peft';
import { evaluationBatches } from '../plan';
import { toSequences } from '../sequences';
import { answerAll } from './answer-all';
import { Judge } from './judge';

/** Rows that did not do and are shown, and how much of their answers. */
const SHOWN_FAILURES = 3;
const SHOWN_CHARACTERS = 500;

export interface RunEvaluationOptions {
  base: {
    /** modelKey of its files. */
    key: string;
    /** Folder with configuration and tokenizer. */
    dir: string;
    /** Completes the folder with the weights: called only when the quantized base has to be written. */
    fetchWeights(): Promise<void>;
  };
  /** A version's files. */
  adapterDir: string;
  /** How the version's base is kept, and what is computed in. */
  storage: BaseStorage;
  compute: Recipe['training']['compute'];
  dataset: { file: string; sha256: string; format: DatasetFormat };
  settings: EvaluationSettings;
  maxLineBytes: number;
  cacheDir: string;
  threads: number;
  signal: AbortSignal;
  onProgress(step: number, total: number): void;
}

export interface EvaluatedVersion {
  /** Rows that were measured. */
  rows: number;
  /** As the measures of the settings. */
  results: EvaluationResult[];
}

/** A row to measure, and its number in the dataset, from 1. */
interface Row {
  number: number;
  encoded: EncodedRow;
}

/** The first rows that have something to learn: an assistant's answer. */
function chosenRows(rows: readonly EncodedRow[], { maxRows }: EvaluationLimits): Row[] {
  const chosen: Row[] = [];
  for (const [i, encoded] of rows.entries()) {
    if (chosen.length === maxRows) break;
    if (learntSpans(encoded.lossMask).length > 0) chosen.push({ number: i + 1, encoded });
  }
  return chosen;
}

/** Mean of −log p over the assistant's tokens of rows cut to `length`. */
async function lossOf(
  base: Base,
  adapter: Adapter,
  rows: readonly Row[],
  { length, signal, done }: { length: number; signal: AbortSignal; done(): void },
): Promise<Omit<EvaluationResult, 'measure'>> {
  const recipe = recipeSchema.parse({ training: { sequenceLength: length, rows: 1, tooLong: 'truncate' } });
  const { sequences } = toSequences(
    rows.map(({ encoded }) => encoded),
    recipe,
  );
  const objective = objectiveOf(recipe);
  const parts = [];
  for (const batch of evaluationBatches(sequences, recipe)) {
    const whole = { adapter, begin: 0, end: batch.tokens.length };
    parts.push(await objective.evaluate(base, batch, whole, { signal }));
  }
  if (parts.length === 0)
    throw new LowrankError('evaluation_failed', `no row has an answer within its first ${length} tokens`);
  const { sum, weight } = addMeasured(parts);
  if (!Number.isFinite(sum)) throw new LowrankError('loss_not_finite', 'the loss is not a number');
  done();
  return { value: sum / weight, count: weight, failures: [] };
}

interface Answered {
  number: number;
  /** null: the prompt was too long. */
  answer: string | null;
  expected: string;
}

/** The greedy answer to each row's prompt: all that comes before its last answer. */
async function answersOf(
  base: Base,
  adapter: Adapter,
  tokenizer: ChatTokenizer,
  rows: readonly Row[],
  options: { limits: EvaluationLimits; length: number; signal: AbortSignal; onProgress(done: number): void },
): Promise<Answered[]> {
  const { limits, length, ...rest } = options;
  const split = rows.map(({ number, encoded: { tokens, lossMask } }) => {
    const spans = learntSpans(lossMask);
    const [begin, end] = [spans[spans.length - 2] as number, spans[spans.length - 1] as number];
    const expected = tokenizer.decode([...tokens.subarray(begin, end)]);
    return { number, expected, prompt: begin > 0 && begin < length ? tokens.slice(0, begin) : null };
  });
  const prompts = split.flatMap(({ prompt }) => prompt ?? []);
  const { maxTokens } = limits;
  const { stopIds } = tokenizer;
  const answers = await answerAll(base, prompts, { adapter, maxTokens, stopIds, ...rest });
  let next = 0;
  return split.map(({ number, expected, prompt }) => {
    const answer = prompt === null ? null : tokenizer.decode(answers[next++] as number[]);
    return { number, expected, answer };
  });
}

/** The share of answers that do, by one measure. */
async function shareOf(
  judge: Judge,
  measure: number,
  answered: readonly Answered[],
  { length, signal }: { length: number; signal: AbortSignal },
): Promise<Omit<EvaluationResult, 'measure'>> {
  const failures: EvaluationResult['failures'] = [];
  let right = 0;
  for (const { number: row, answer, expected } of answered) {
    signal.throwIfAborted();
    const problem =
      answer === null
        ? `its prompt has ${length} tokens or more`
        : await judge.problemOf({ measure, answer, expected });
    if (problem === null) right += 1;
    else if (failures.length < SHOWN_FAILURES)
      failures.push({
        ...{ row, answer: (answer ?? '').slice(0, SHOWN_CHARACTERS) },
        problem: problem.slice(0, SHOWN_CHARACTERS),
      });
  }
  return { value: right / answered.length, count: answered.length, failures };
}

async function measureAll(
  base: Base,
  adapter: Adapter,
  options: RunEvaluationOptions,
): Promise<EvaluatedVersion> {
  const { dataset, settings, maxLineBytes, cacheDir, signal, onProgress } = options;
  const { measures, limits } = settings;
  const tokenizer = await loadChatTokenizer(options.base.dir);
  const { fingerprint } = tokenizer;
  const source = { ...dataset, tokenizerDir: options.base.dir, fingerprint, maxLineBytes, cacheDir, signal };
  const rows = chosenRows(await loadTokens(source), limits);
  if (rows.length === 0) throw new LowrankError('evaluation_failed', 'no row of the dataset has an answer');
  const length = Math.min(limits.sequenceLength, base.info.maxPositions);
  const asksForLoss = measures.some(({ metric }) => metric === 'loss');
  const asksForAnswers = measures.some(({ metric }) => metric !== 'loss');
  // A step is a row: once for its loss, once for its answer.
  const total = rows.length * (Number(asksForLoss) + Number(asksForAnswers));
  onProgress(0, total);
  const offset = asksForLoss ? rows.length : 0;
  const loss = asksForLoss
    ? await lossOf(base, adapter, rows, { length, signal, done: () => onProgress(offset, total) })
    : null;
  const answered = asksForAnswers
    ? await answersOf(base, adapter, tokenizer, rows, {
        ...{ limits, length, signal },
        onProgress: (done) => onProgress(offset + done, total),
      })
    : [];
  const judge = new Judge(measures);
  try {
    const results: EvaluationResult[] = [];
    for (const [i, measure] of measures.entries())
      results.push({
        measure,
        ...(loss !== null && measure.metric === 'loss'
          ? loss
          : await shareOf(judge, i, answered, { length, signal })),
      });
    onProgress(total, total);
    return { rows: rows.length, results };
  } finally {
    await judge.close();
  }
}

/**
 * Measures a version on the first rows of a dataset, with its base kept as its recipe keeps it. The loss is the mean over the assistant's tokens; the
 * other measures look at the greedy answer to each row's prompt, which is all that comes before the row's last answer.
 * Errors: evaluation_failed, dataset_invalid, those of loadAdapter; the signal's reason.
 */
export async function runEvaluation(options: RunEvaluationOptions): Promise<EvaluatedVersion> {
  const { base, cacheDir, threads, compute, signal } = options;
  try {
    signal.throwIfAborted();
    const kernels = openDevice({ threads, compute });
    try {
      const stored = { key: base.key, storage: await chooseStorage(base.dir, options.storage), cacheDir };
      const fetched = async () => {
        await base.fetchWeights();
        return base.dir;
      };
      const opened = await openQuantizedBase(kernels, fetched, stored, { signal });
      try {
        const adapter = await loadAdapter(opened, options.adapterDir);
        try {
          return await measureAll(opened, adapter, options);
        } finally {
          adapter.close();
        }
      } finally {
        opened.close();
      }
    } finally {
      kernels.close();
    }
  } catch (error) {
    if (signal.aborted && isCancelled(error)) throw signal.reason;
    throw publicError(error);
  }
}
