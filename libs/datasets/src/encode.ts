import { type ChatRow } from '@lowrank/contracts';
import { RowError } from './row-error';
import { type ChatTokenizer } from './tokenizer';

/** Raised when the same rows would give other tokens, or other ones to learn. */
export const tokensFormat = 2;

export interface EncodedRow {
  /** [n] token ids */
  tokens: Int32Array;
  /** [n] 1 where the token is to be learnt: answers (from learnFrom on) of the assistant with the token that ends them. */
  lossMask: Uint8Array;
}

/** Characters [begin, end) of the rendered text that one answer takes; end null: through the first end-of-turn token after begin. */
interface Span {
  /** Index of the answer. */
  message: number;
  begin: number;
  end: number | null;
}

/**
 * Where the answers lie in the rendered conversation. The template itself says: rendering the messages before an answer with the
 * generation prompt gives the text up to it, rendering them with the answer gives the text through it. Templates that write the last
 * answer in another way than earlier ones (Qwen3's thoughts) leave the end open.
 * Throws RowError when the template changes the text before an answer as the conversation goes on, since then no span exists.
 */
function answerSpans(row: ChatRow, tokenizer: ChatTokenizer, text: string): Span[] {
  const { messages, tools, learnFrom = 0, notLearnt = [] } = row;
  return messages.flatMap((message, i): Span[] => {
    if (message.role !== 'assistant' || i < learnFrom || notLearnt.includes(i)) return [];
    const before = tokenizer.render(messages.slice(0, i), { addGenerationPrompt: true, tools });
    if (!text.startsWith(before)) throw rewritten(i);
    const through = i + 1 === messages.length ? text : tokenizer.render(messages.slice(0, i + 1), { tools });
    const isWhole = through.startsWith(before) && text.startsWith(through);
    if (isWhole) return [{ message: i, begin: before.length, end: through.length }];
    const own = JSON.stringify(message);
    if (hasStop(tokenizer, tokenizer.encode(own))) throw rewritten(i);
    return [{ message: i, begin: before.length, end: null }];
  });
}

const hasStop = ({ stopIds }: ChatTokenizer, ids: readonly number[]): boolean =>
  ids.some((id) => stopIds.has(id));

const rewritten = (message: number): RowError =>
  new RowError(
    "the model's chat template rewrites earlier text, so that the loss cannot be limited to this answer",
    `messages.${message}`,
  );

function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}

/**
 * For every boundary (ascending, in characters of `text`): the index of the first token that reaches beyond it. Exact where tokens
 * spell their bytes; otherwise by encoding the text up to the boundary and comparing.
 */
function tokenIndexes(
  text: string,
  ids: readonly number[],
  boundaries: number[],
  tokenizer: ChatTokenizer,
): number[] {
  const lengths = tokenizer.byteLengths(ids);
  if (lengths !== null && lengths.reduce((sum, length) => sum + length, 0) === Buffer.byteLength(text)) {
    let token = 0;
    let reached = 0; // bytes of tokens [0, token)
    let characters = 0;
    let bytes = 0;
    return boundaries.map((boundary) => {
      bytes += Buffer.byteLength(text.slice(characters, boundary));
      characters = boundary;
      while (token < ids.length && reached + (lengths[token] as number) <= bytes) {
        reached += lengths[token] as number;
        token += 1;
      }
      return token;
    });
  }
  return boundaries.map((boundary) =>
    boundary === text.length ? ids.length : commonPrefix(tokenizer.encode(text.slice(0, boundary)), ids),
  );
}

/** Templates of models that know no tools leave calls out without a word. */
function assertCallsWritten({ messages }: ChatRow, text: string): void {
  messages.forEach(({ tool_calls: calls = [] }, i) => {
    const missing = calls.find((call) => !text.includes(call.function.name));
    if (missing)
      throw new RowError(
        `the model's chat template does not write the call of '${missing.function.name.slice(0, 100)}'`,
        `messages.${i}.tool_calls`,
      );
  });
}

/**
 * Tokens of a conversation, rendered with the model's own template, and which of them are to be learnt. What the template writes
 * after an answer's last end-of-turn token (a line break, mostly) is not: generation stops before it.
 * Throws RowError when nothing is to be learnt or the template gives no spans; LowrankError when the template fails.
 */
export function encodeChat(row: ChatRow, tokenizer: ChatTokenizer): EncodedRow {
  const text = tokenizer.render(row.messages, { tools: row.tools });
  assertCallsWritten(row, text);
  const spans = answerSpans(row, tokenizer, text);
  const ids = tokenizer.encode(text);
  const edges = tokenIndexes(
    text,
    ids,
    spans.flatMap(({ begin, end }) => [begin, end ?? begin]),
    tokenizer,
  );
  const isStop = (index: number): boolean => tokenizer.stopIds.has(ids[index] as number);
  const lossMask = new Uint8Array(ids.length);
  spans.forEach(({ message, end: characters }, i) => {
    const begin = edges[2 * i] as number;
    let end = edges[2 * i + 1] as number;
    if (characters === null) {
      while (end < ids.length && !isStop(end)) end += 1;
      if (end === ids.length) throw rewritten(message);
      end += 1;
    } else {
      // A token across the end of the span has begun in it.
      let last = end;
      while (last > begin && !isStop(last - 1)) last -= 1;
      if (last > begin) end = last;
    }
    lossMask.fill(1, begin, end);
  });
  if (!lossMask.includes(1)) throw new RowError('the row has no token to learn');
  return { tokens: Int32Array.from(ids), lossMask };
}
