import { type ChatRow } from '@lowrank/contracts';
import { RowError } from './formats';
import { type ChatTokenizer } from './tokenizer';

/** Raised when the same rows would give other tokens, or other ones to learn. */
export const tokensFormat = 1;

export interface EncodedRow {
  /** [n] token ids */
  tokens: Int32Array;
  /** [n] 1 where the token is to be learnt: answers (from learnFrom on) of the assistant with the token that ends them. */
  lossMask: Uint8Array;
}

/** Characters [begin, end) of the rendered text that one answer takes. */
interface Span {
  begin: number;
  end: number;
}

/**
 * Where the answers lie in the rendered conversation. The template itself says: rendering the messages before an answer with the
 * generation prompt gives the text up to it, rendering them with the answer gives the text through it.
 * Throws RowError when the template changes earlier text as the conversation goes on, since then no span exists.
 */
function answerSpans(row: ChatRow, tokenizer: ChatTokenizer, text: string): Span[] {
  return row.messages.flatMap((message, i) => {
    if (message.role !== 'assistant' || i < (row.learnFrom ?? 0)) return [];
    const before = tokenizer.render(row.messages.slice(0, i), { addGenerationPrompt: true });
    const through = i + 1 === row.messages.length ? text : tokenizer.render(row.messages.slice(0, i + 1));
    if (!through.startsWith(before) || !text.startsWith(through)) {
      throw new RowError(
        "the model's chat template rewrites earlier text, so that the loss cannot be limited to this answer",
        `messages.${i}`,
      );
    }
    return [{ begin: before.length, end: through.length }];
  });
}

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

/**
 * Tokens of a conversation, rendered with the model's own template, and which of them are to be learnt. What the template writes
 * after an answer's last end-of-turn token (a line break, mostly) is not: generation stops before it.
 * Throws RowError when nothing is to be learnt or the template gives no spans; LowrankError when the template fails.
 */
export function encodeChat(row: ChatRow, tokenizer: ChatTokenizer): EncodedRow {
  const text = tokenizer.render(row.messages);
  const spans = answerSpans(row, tokenizer, text);
  const ids = tokenizer.encode(text);
  const edges = tokenIndexes(
    text,
    ids,
    spans.flatMap(({ begin, end }) => [begin, end]),
    tokenizer,
  );
  const lossMask = new Uint8Array(ids.length);
  for (let i = 0; i < edges.length; i += 2) {
    const begin = edges[i] as number;
    let end = edges[i + 1] as number;
    // A token across the end of the span has begun in it.
    for (let last = end; last > begin; last -= 1) {
      if (tokenizer.stopIds.has(ids[last - 1] as number)) {
        end = last;
        break;
      }
    }
    lossMask.fill(1, begin, end);
  }
  if (!lossMask.includes(1)) throw new RowError('the row has no token to learn');
  return { tokens: Int32Array.from(ids), lossMask };
}
