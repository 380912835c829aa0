import { LowrankError, type DatasetFormat, type ErrorDetail, type TokenLengths } from '@lowrank/contracts';
import { encodeChat } from './encode';
import { detectFormat, unknownFormat } from './formats';
import { RowError } from './row-error';
import { LengthCollector } from './lengths';
import { parseLine, readLines } from './lines';
import { parseConversations } from './preference';
import { type ChatTokenizer } from './tokenizer';

const SHOWN_ERRORS = 20;

export interface CheckOptions {
  /** Default: the format of the first row. */
  format?: DatasetFormat;
  maxLineBytes: number;
  /** Counts tokens when given. */
  tokenizer?: ChatTokenizer;
}

export interface DatasetCheck {
  /** null when no row has a known one. */
  format: DatasetFormat | null;
  /** Good rows. */
  rows: number;
  tokens: number | null;
  lossTokens: number | null;
  /** Lengths of the good rows' conversations; null without a tokenizer. */
  lengths: TokenLengths | null;
  /** The first 20. */
  errors: ErrorDetail[];
  errorCount: number;
}

/** Checks a JSONL dataset line by line, in memory bounded by its longest allowed line. */
export async function checkDataset(
  stream: AsyncIterable<Uint8Array>,
  { format: wanted, maxLineBytes, tokenizer }: CheckOptions,
): Promise<DatasetCheck> {
  let format: DatasetFormat | null = wanted ?? null;
  let rows = 0;
  let tokens = 0;
  let lossTokens = 0;
  let errorCount = 0;
  const collector = new LengthCollector();
  const errors: ErrorDetail[] = [];
  const report = (error: ErrorDetail) => {
    errorCount += 1;
    if (errors.length < SHOWN_ERRORS) errors.push(error);
  };
  for await (const line of readLines(stream, maxLineBytes)) {
    const { value, problem } = parseLine(line);
    if (problem !== null) {
      report({ line: line.line, message: problem });
      continue;
    }
    format ??= detectFormat(value);
    if (format === null) {
      report({ line: line.line, message: unknownFormat(value) });
      continue;
    }
    try {
      const conversations = parseConversations(value, format);
      // All of a row before any of it counts: what is wrong with one of its conversations is wrong with the row.
      const encodings =
        tokenizer === undefined ? [] : conversations.map((chat) => encodeChat(chat, tokenizer));
      for (const encoded of encodings) {
        tokens += encoded.tokens.length;
        lossTokens += encoded.lossMask.reduce((sum, learnt) => sum + learnt, 0);
        collector.add(encoded);
      }
      rows += 1;
    } catch (error) {
      if (!(error instanceof RowError || error instanceof LowrankError)) throw error;
      const path = error instanceof RowError ? error.path : undefined;
      report({ line: line.line, ...(path ? { path } : {}), message: error.message });
    }
  }
  const counted = tokenizer !== undefined;
  return {
    format,
    rows,
    tokens: counted ? tokens : null,
    lossTokens: counted ? lossTokens : null,
    lengths: counted ? collector.lengths() : null,
    errors,
    errorCount,
  };
}

/** Throws LowrankError dataset_invalid with the first wrong lines, or dataset_empty. */
export function assertDatasetValid(
  check: DatasetCheck,
): asserts check is DatasetCheck & { format: DatasetFormat } {
  if (check.errorCount > 0) {
    const first = check.errors[0];
    throw new LowrankError(
      'dataset_invalid',
      `${check.errorCount} of the lines cannot be used; line ${first?.line}: ${first?.message}`,
      check.errors,
    );
  }
  if (check.rows === 0 || check.format === null)
    throw new LowrankError('dataset_empty', 'the file has no rows');
}
