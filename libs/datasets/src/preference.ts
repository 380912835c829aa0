import { type ChatMessage, type ChatRow, type DatasetFormat } from '@lowrank/contracts';
import { isDeepStrictEqual } from 'node:util';
import { parseRow } from './formats';
import { isAbsent, isAnswer, isObject, parseMessages, parseTools } from './messages';
import { RowError } from './row-error';

/** The two answers' fields: in Hugging Face's layout, and in OpenAI's. */
const CHOSEN = ['chosen', 'rejected'] as const;
const PREFERRED = ['preferred_output', 'non_preferred_output'] as const;

const messagesOf = (value: unknown, field: string): ChatMessage[] => {
  if (isAbsent(value)) throw new RowError(`${field} is missing`, field);
  if (!Array.isArray(value))
    throw new RowError(`${field} has to be text or a list of {role, content}`, field);
  return parseMessages(value, field);
};

/** Text as one message of the role; messages as they are. */
const asMessages = (value: unknown, field: string, role: ChatMessage['role']): ChatMessage[] =>
  typeof value === 'string' ? [{ role, content: value }] : messagesOf(value, field);

const same = (a: ChatMessage | undefined, b: ChatMessage | undefined): boolean =>
  a !== undefined && isDeepStrictEqual(a, b);

/** How many messages two conversations share at their beginning; each keeps at least one of its own. */
function sharedLength(a: readonly ChatMessage[], b: readonly ChatMessage[]): number {
  const most = Math.min(a.length, b.length) - 1;
  let length = 0;
  while (length < most && same(a[length], b[length])) length += 1;
  return length;
}

function answerOf(messages: ChatMessage[], from: number, field: string): ChatRow {
  if (messages[from]?.role !== 'assistant')
    throw new RowError(`${field} has to go on with an answer of the assistant after the prompt`, field);
  if (!messages.slice(from).some(isAnswer)) throw new RowError(`${field} is empty`, field);
  return { messages, learnFrom: from };
}

/** Prompt and the two answers, in fields of these names. */
function pairOf(
  prompt: readonly ChatMessage[],
  answers: readonly [ChatMessage[], ChatMessage[]],
  [chosen, rejected]: readonly [string, string],
): [ChatRow, ChatRow] {
  const whole = answers.map((answer) => [...prompt, ...answer]) as [ChatMessage[], ChatMessage[]];
  const [a, b] = whole;
  const from = sharedLength(a, b);
  if (a.length === b.length && same(a[from], b[from]))
    throw new RowError(`${chosen} and ${rejected} are the same`, rejected);
  return [answerOf(a, from, chosen), answerOf(b, from, rejected)];
}

/**
 * A preference as two conversations, chosen then rejected, of which only what follows the prompt is learnt:
 *  - `prompt` (text or messages) with `chosen` and `rejected` (text or messages)
 *  - `chosen` and `rejected` as whole conversations that begin alike; a `prompt` of text beside them is not needed and ignored
 *  - OpenAI's `input` {messages, tools} with `preferred_output` and `non_preferred_output`
 * `tools` beside them are those of both. Throws RowError.
 */
function parsePair(fields: Record<string, unknown>): [ChatRow, ChatRow] {
  if ('preferred_output' in fields || 'non_preferred_output' in fields) {
    const names = PREFERRED;
    const { input } = fields;
    if (!isObject(input))
      throw new RowError(isAbsent(input) ? 'input is missing' : 'input has to be {messages: […]}', 'input');
    const prompt = messagesOf(input['messages'], 'input.messages');
    return pairOf(
      prompt,
      [messagesOf(fields[names[0]], names[0]), messagesOf(fields[names[1]], names[1])],
      names,
    );
  }
  const names = CHOSEN;
  const [chosen, rejected] = names.map((name) => asMessages(fields[name], name, 'assistant')) as [
    ChatMessage[],
    ChatMessage[],
  ];
  const { prompt } = fields;
  const whole = chosen[0]?.role !== 'assistant' && typeof prompt !== 'object';
  if (whole || prompt === undefined) {
    if (chosen[0]?.role === 'assistant')
      throw new RowError(
        'prompt is missing: give it, or make chosen and rejected whole conversations',
        'prompt',
      );
    return pairOf([], [chosen, rejected], names);
  }
  return pairOf(asMessages(prompt, 'prompt', 'user'), [chosen, rejected], names);
}

function parsePreference(row: Record<string, unknown>): ChatRow[] {
  const { input } = row;
  const tools =
    parseTools(row['tools']) ?? parseTools(isObject(input) ? input['tools'] : null, 'input.tools');
  return parsePair(row).map((chat) => ({ ...chat, ...(tools && { tools }) }));
}

/** What is learnt from a row of any format: one conversation, or of a preference two, chosen then rejected. Throws RowError. */
export function parseConversations(row: unknown, format: DatasetFormat): ChatRow[] {
  if (format !== 'preference') return [parseRow(row, format)];
  if (!isObject(row)) throw new RowError('a row has to be a JSON object');
  return parsePreference(row);
}
