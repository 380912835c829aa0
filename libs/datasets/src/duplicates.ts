import { type ChatRow, type DatasetFormat, type DuplicateReport, LowrankError } from '@lowrank/contracts';
import { createHash } from 'node:crypto';
import { parseLine, readLines } from './lines';
import { signatureOf, SimilarTexts } from './minhash';
import { parseConversations } from './preference';
import { RowError } from './row-error';

/** Raised when the same rows would give another report. */
export const duplicatesFormat = 1;

const SHOWN_GROUPS = 20;
const SHOWN_COPIES = 20;
const THRESHOLD = 0.8;
/** Each row takes a few hundred bytes to compare with. */
const NEAR_ROWS = 100_000;

export interface DuplicateSource {
  stream: AsyncIterable<Uint8Array>;
  format: DatasetFormat;
}

/** What conversations say, without case, punctuation and white space: who says it does not matter. */
const normalised = (conversations: readonly ChatRow[]): string =>
  conversations
    .flatMap(({ messages }) => messages)
    .map(({ content = '', tool_calls: calls }) => content + (calls ? JSON.stringify(calls) : ''))
    .join(' ')
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

/** Copies by the line of their first, in order; only the first are kept, all are counted. */
class Copies {
  private readonly groups = new Map<number, number[]>();
  private rows = 0;

  add(first: number, line: number): void {
    this.rows += 1;
    const copies = this.groups.get(first);
    if (copies === undefined) {
      if (this.groups.size < SHOWN_GROUPS) this.groups.set(first, [line]);
    } else if (copies.length < SHOWN_COPIES) copies.push(line);
  }

  report(): DuplicateReport['exact'] {
    return { rows: this.rows, groups: [...this.groups].map(([line, copies]) => ({ line, copies })) };
  }
}

/** Rows that were seen, by what they say. */
class SeenRows {
  /** First line by hash. */
  private readonly exact = new Map<string, number>();
  private readonly similar = new SimilarTexts(THRESHOLD);
  /** Line of each text of `similar`. */
  private readonly lines: number[] = [];
  rows = 0;

  get comparable(): number {
    return Math.min(this.rows, NEAR_ROWS);
  }

  /** The line of a row that says the same, and whether exactly; else null. Remembers the row when it is the first. */
  match(text: string, line: number | null): { line: number; isExact: boolean } | null {
    const hash = createHash('sha256').update(text).digest('base64').slice(0, 22);
    const same = this.exact.get(hash);
    if (same !== undefined) return { line: same, isExact: true };
    if (line !== null) this.exact.set(hash, line);
    if (line !== null && this.rows > NEAR_ROWS) return null;
    const signature = signatureOf(text);
    const near = this.similar.find(signature);
    if (near !== null) return { line: this.lines[near] as number, isExact: false };
    if (line !== null) {
      this.similar.add(signature);
      this.lines.push(line);
    }
    return null;
  }
}

/** The lines and texts of rows that can be used. Throws dataset_invalid with the first that cannot. */
async function* textsOf(
  { stream, format }: DuplicateSource,
  maxLineBytes: number,
): AsyncGenerator<{ line: number; text: string }> {
  for await (const source of readLines(stream, maxLineBytes)) {
    const { line } = source;
    const { value, problem } = parseLine(source);
    try {
      if (problem !== null) throw new RowError(problem);
      yield { line, text: normalised(parseConversations(value, format)) };
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      throw new LowrankError('dataset_invalid', `line ${line}: ${error.message}`, [
        { line, message: error.message },
      ]);
    }
  }
}

/** Rows of a dataset that say the same, and rows of another that it has too. */
export async function findDuplicates(
  source: DuplicateSource,
  against: DuplicateSource | null,
  maxLineBytes: number,
): Promise<DuplicateReport> {
  const seen = new SeenRows();
  const [exact, near] = [new Copies(), new Copies()];
  for await (const { line, text } of textsOf(source, maxLineBytes)) {
    seen.rows += 1;
    const match = seen.match(text, line);
    if (match) (match.isExact ? exact : near).add(match.line, line);
  }
  const report = { rows: seen.rows, exact: exact.report(), near: near.report(), nearOf: seen.comparable };
  if (against === null) return { ...report, overlap: null };
  const [shared, similar] = [new Copies(), new Copies()];
  let rows = 0;
  for await (const { line, text } of textsOf(against, maxLineBytes)) {
    rows += 1;
    const match = seen.match(text, null);
    if (match) (match.isExact ? shared : similar).add(match.line, line);
  }
  return { ...report, overlap: { rows, exact: shared.report(), near: similar.report() } };
}
