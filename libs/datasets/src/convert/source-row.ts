/** A row as it lies in a file that is not JSONL; `problem` is set instead of `value` when it cannot be used. */
export interface SourceRow {
  /** 1-based: the line that it begins at, or its number in a file without lines. */
  line: number;
  value: Record<string, unknown> | null;
  problem?: { path?: string; message: string };
}

/** Columns that hold a conversation, which tables of text hold as JSON. */
const conversations = ['messages', 'conversations'];
/** Columns that hold either text or messages. */
const answers = ['prompt', 'chosen', 'rejected', 'preferred_output', 'non_preferred_output'];

/** Columns that some format has; the others of a table are not read. */
export const knownColumns: readonly string[] = [
  ...conversations,
  ...answers,
  ...['tools', 'system', 'completion', 'response', 'instruction', 'input', 'output'],
  // What the command line makes chats of.
  ...['question', 'answer'],
];

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** A row of a table: cells that hold messages as JSON text become messages. */
export function rowOfCells(line: number, cells: Record<string, unknown>): SourceRow {
  const value = { ...cells };
  for (const column of conversations) {
    const cell = value[column];
    if (typeof cell !== 'string') continue;
    value[column] = jsonOf(cell);
    if (value[column] === undefined)
      return { line, value: null, problem: { path: column, message: `${column} is not JSON` } };
  }
  for (const column of answers) {
    const cell = value[column];
    if (typeof cell !== 'string' || !/^\s*\[/.test(cell)) continue;
    const parsed = jsonOf(cell);
    if (Array.isArray(parsed) && parsed.every((one) => typeof one === 'object' && one !== null))
      value[column] = parsed;
  }
  return { line, value };
}
