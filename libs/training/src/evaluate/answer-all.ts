import { type Adapter, type Base, type Cache } from '@lowrank/kernels';
import { greedy } from '../generate';

/** Answers that are generated in one batch: decoding reads the base once for all of them. */
const TOGETHER = 16;
const PAGE_TOKENS = 16;
/** Of a prompt in one call, which bounds the memory that it takes. */
const PREFILL_TOKENS = 512;

export interface AnswerOptions {
  adapter: Adapter | null;
  /** Of one answer, at most; fewer where the model's context ends. */
  maxTokens: number;
  /** Tokens that end an answer. */
  stopIds: ReadonlySet<number>;
  signal?: AbortSignal;
  /** After each group, with the prompts that are answered by then. */
  onProgress?(done: number): void;
}

interface Answer {
  prompt: Int32Array;
  pages: Int32Array;
  /** Most tokens that it can have. */
  room: number;
  tokens: number[];
  isOver: boolean;
}

const roomOf = (prompt: Int32Array, base: Base, maxTokens: number): number =>
  Math.min(maxTokens, base.info.maxPositions - prompt.length);

/** A cache for the longest group, and the answers of one group, each with pages of its own. */
function openGroup(base: Base, prompts: readonly Int32Array[], maxTokens: number) {
  let pages = 0;
  const answers = prompts.map((prompt): Answer => {
    const room = roomOf(prompt, base, maxTokens);
    const count = Math.ceil((prompt.length + room) / PAGE_TOKENS);
    const own = Int32Array.from({ length: count }, (_, i) => pages + i);
    pages += count;
    return { prompt, pages: own, room, tokens: [], isOver: false };
  });
  return { answers, cache: base.openCache({ pageTokens: PAGE_TOKENS, pages }) };
}

/** Takes a prompt through the model; resolves to the logits after its last token. */
async function prefill(
  cache: Cache,
  { prompt, pages }: Answer,
  { adapter, signal }: AnswerOptions,
): Promise<Float32Array> {
  for (let past = 0; ;) {
    const end = Math.min(prompt.length, past + PREFILL_TOKENS);
    const wanted = end === prompt.length;
    const sequence = { tokens: prompt.slice(past, end), pages, past, adapter, wanted };
    const logits = await cache.run('prefill', [sequence], { signal });
    if (wanted) return logits;
    past = end;
  }
}

async function draw(cache: Cache, logits: Float32Array, answers: readonly Answer[], options: AnswerOptions) {
  const draws = await cache.sample(
    logits,
    answers.map(() => greedy),
  );
  answers.forEach((answer, i) => {
    const token = (draws[i] as { token: number }).token;
    if (options.stopIds.has(token)) answer.isOver = true;
    else if (answer.tokens.push(token) === answer.room) answer.isOver = true;
  });
}

/**
 * The greedy answer's tokens to each prompt, without the token that ended it. Each is what it would be alone, whatever is answered with it.
 * Every prompt has to be shorter than the model's context, and not empty. Errors: KernelError.
 */
export async function answerAll(
  base: Base,
  prompts: readonly Int32Array[],
  options: AnswerOptions,
): Promise<number[][]> {
  const { adapter, maxTokens, signal, onProgress } = options;
  const all: number[][] = [];
  for (let first = 0; first < prompts.length; first += TOGETHER) {
    const { answers, cache } = openGroup(base, prompts.slice(first, first + TOGETHER), maxTokens);
    try {
      for (const answer of answers)
        await draw(cache, await prefill(cache, answer, options), [answer], options);
      for (;;) {
        const open = answers.filter(({ isOver }) => !isOver);
        if (open.length === 0) break;
        const sequences = open.map(({ prompt, pages, tokens }) => ({
          tokens: Int32Array.of(tokens.at(-1) as number),
          ...{ pages, adapter, past: prompt.length + tokens.length - 1 },
        }));
        await draw(cache, await cache.run('decode', sequences, { signal }), open, options);
      }
    } finally {
      cache.close();
    }
    all.push(...answers.map(({ tokens }) => tokens));
    onProgress?.(all.length);
  }
  return all;
}
