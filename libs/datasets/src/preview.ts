import {
  type ChatRow,
  type DatasetFormat,
  LowrankError,
  previewLimits,
  type PreviewedConversation,
  type PreviewedRow,
} from '@lowrank/contracts';
import { encodeChat } from './encode';
import { type Line, parseLine, readLines } from './lines';
import { parseConversations } from './preference';
import { RowError } from './row-error';
import { type ChatTokenizer } from './tokenizer';

/** A line and which row it is, 1-based. */
export interface NumberedLine extends Line {
  row: number;
}

/** The rows from `row` on, `rows` of them, and whether more follow. The stream is read no further than it takes to know. */
export async function selectRows(
  stream: AsyncIterable<Uint8Array>,
  { row: first, rows: count }: { row: number; rows: number },
  maxLineBytes: number,
): Promise<{ lines: NumberedLine[]; hasMore: boolean }> {
  const lines: NumberedLine[] = [];
  let row = 0;
  for await (const line of readLines(stream, maxLineBytes)) {
    row += 1;
    if (row >= first + count) return { lines, hasMore: true };
    if (row >= first) lines.push({ ...line, row });
  }
  return { lines, hasMore: false };
}

function preview(chat: ChatRow, tokenizer: ChatTokenizer): PreviewedConversation {
  const { tokens, lossMask } = encodeChat(chat, tokenizer);
  const text = tokenizer.stream({ keepSpecial: true });
  const shown = [...tokens.subarray(0, previewLimits.tokens)].map((id, i) => ({
    id,
    text: text.push(id),
    learnt: lossMask[i] === 1,
  }));
  const last = shown.at(-1);
  if (last) last.text += text.end();
  const lossTokens = lossMask.reduce((sum, learnt) => sum + learnt, 0);
  return { tokens: shown, tokenCount: tokens.length, lossTokens };
}

/** Rows as the model sees them in training: rendered, in tokens, with what is learnt of them; or why they cannot be used. */
export function previewRows(
  lines: readonly NumberedLine[],
  format: DatasetFormat,
  tokenizer: ChatTokenizer,
): PreviewedRow[] {
  return lines.map((source) => {
    const { row, line } = source;
    const { value, problem } = parseLine(source);
    try {
      if (problem !== null) throw new RowError(problem);
      const conversations = parseConversations(value, format).map((chat) => preview(chat, tokenizer));
      return { row, line, error: null, conversations };
    } catch (error) {
      if (!(error instanceof RowError || error instanceof LowrankError)) throw error;
      const path = error instanceof RowError ? error.path : undefined;
      return {
        row,
        line,
        error: { line, ...(path ? { path } : {}), message: error.message },
        conversations: [],
      };
    }
  });
}
