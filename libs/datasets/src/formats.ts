import { type ChatMessage, type ChatRow, type DatasetFormat } from '@lowrank/contracts';
import { z } from 'zod';
import { isAnswer, isObject, notLearntOf, parseMessages, parseTools } from './messages';
import { RowError } from './row-error';
import { parseShareGpt } from './sharegpt';

/** Formats with one conversation a row; of a preference, see preference.ts. */
export type ConversationFormat = Exclude<DatasetFormat, 'preference'>;

const isText = (value: unknown): value is string => typeof value === 'string';

/** The format that a row has by its field names, or null. */
export function detectFormat(row: unknown): DatasetFormat | null {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) return null;
  if (('chosen' in row && 'rejected' in row) || ('preferred_output' in row && 'non_preferred_output' in row))
    return 'preference';
  if ('messages' in row) return 'chat';
  if ('conversations' in row) return 'sharegpt';
  if ('instruction' in row && 'output' in row) return 'alpaca';
  if ('prompt' in row && ('completion' in row || 'response' in row)) return 'prompt-completion';
  return null;
}

const text = (what: string) =>
  z.string({
    error: (issue) => (issue.input === undefined ? `${what} is missing` : `${what} has to be text`),
  });
const answer = (what: string) => text(what).refine((value) => value.trim() !== '', `${what} is empty`);

const schemas = {
  'prompt-completion': z.object({
    prompt: text('prompt'),
    completion: answer('completion').optional(),
    response: answer('response').optional(),
  }),
  alpaca: z.object({
    instruction: text('instruction'),
    input: text('input').nullish(),
    output: answer('output'),
  }),
} satisfies Partial<Record<ConversationFormat, z.ZodType>>;

function parse<F extends keyof typeof schemas>(format: F, row: unknown): z.output<(typeof schemas)[F]> {
  const result = schemas[format].safeParse(row);
  if (result.success) return result.data as z.output<(typeof schemas)[F]>;
  const issue = result.error.issues[0];
  throw new RowError(issue?.message ?? 'not a valid row', issue?.path.join('.'));
}

const turn = (question: string, reply: string): ChatMessage[] => [
  { role: 'user', content: question },
  { role: 'assistant', content: reply },
];

function parseChat(row: Record<string, unknown>): ChatRow {
  const messages = parseMessages(row['messages'], 'messages');
  const tools = parseTools(row['tools']);
  const notLearnt = notLearntOf(row['messages'] as unknown[], 'messages');
  return { messages, ...(tools && { tools }), ...(notLearnt.length > 0 && { notLearnt }) };
}

function assertAnswered(row: ChatRow, path: string): ChatRow {
  if (!row.messages.some((message, i) => isAnswer(message) && !row.notLearnt?.includes(i)))
    throw new RowError('no message of the assistant to learn from', path);
  return row;
}

/**
 * One row of a dataset as a conversation. Fields that the format does not know are ignored.
 *  - chat: `messages` [{role: system | user | assistant | tool, content}], answers with `tool_calls`, and `tools`, as OpenAI has them;
 *    an answer of `weight` 0 is not learnt
 *  - sharegpt: `conversations` [{from, value}]; see sharegpt.ts
 *  - prompt-completion: `prompt` with `completion` or `response`
 *  - alpaca: `instruction`, optional `input` (appended after an empty line), `output`
 * Throws RowError.
 */
export function parseRow(row: unknown, format: ConversationFormat): ChatRow {
  if (!isObject(row)) throw new RowError('a row has to be a JSON object');
  switch (format) {
    case 'chat':
      return assertAnswered(parseChat(row), 'messages');
    case 'sharegpt':
      return assertAnswered(parseShareGpt(row), 'conversations');
    case 'prompt-completion': {
      const { prompt, completion, response } = parse('prompt-completion', row);
      const reply = completion ?? response;
      if (reply === undefined) throw new RowError('completion is missing', 'completion');
      return { messages: turn(prompt, reply) };
    }
    case 'alpaca': {
      const { instruction, input, output } = parse('alpaca', row);
      return { messages: turn(input ? `${instruction}\n\n${input}` : instruction, output) };
    }
  }
}

/**
 * A row of any known format, or a {question, answer} row as in GSM8K, as a chat row: what the CLI converts files with.
 * Throws RowError.
 */
export function convertRow(row: unknown): { messages: object[]; tools?: object[] } {
  const format = detectFormat(row);
  if (format === 'preference') throw new RowError('a preference has two answers: upload the file as it is');
  if (format !== null) {
    const { messages, tools, notLearnt } = parseRow(row, format);
    const weighted = messages.map((one, i) => (notLearnt?.includes(i) ? { ...one, weight: 0 } : one));
    return { messages: weighted, ...(tools && { tools }) };
  }
  const { question, answer: reply } = (row ?? {}) as { question?: unknown; answer?: unknown };
  if (isText(question) && isText(reply)) return { messages: turn(question, reply) };
  throw new RowError(unknownFormat(row));
}

/** Why detectFormat found none, for people. */
export function unknownFormat(row: unknown): string {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) return 'a row has to be a JSON object';
  const fields = Object.keys(row).slice(0, 8).join(', ').slice(0, 200);
  const hint = 'question' in row && 'answer' in row ? '; convert question/answer rows to messages first' : '';
  return `fields {${fields}} are none of: messages | conversations | prompt, completion | prompt, response | instruction, output | chosen, rejected${hint}`;
}
