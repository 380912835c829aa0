import { type ChatLogprobs, type TextLogprobs } from '@lowrank/contracts';
import { type ChatTokenizer } from '@lowrank/datasets';
import { type Draw } from '@lowrank/kernels';

/** A token as OpenAI's API tells of it: https://platform.openai.com/docs/api-reference/chat/object. */
type TokenLogprob = Omit<ChatLogprobs['content'][number], 'top_logprobs'>;

/** JSON has no −∞; this is what OpenAI's API says instead. */
const leastLogprob = -9999;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of bytes; those that are no text by themselves as they are, `\xe2\x80`. */
function textOf(bytes: Uint8Array): { text: string; whole: boolean } {
  try {
    return { text: utf8.decode(bytes), whole: true };
  } catch {
    const text = Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
    return { text, whole: false };
  }
}

/** Makes what clients are told of what was drawn. */
export class Logprobs {
  constructor(private readonly tokenizer: Pick<ChatTokenizer, 'bytesOf' | 'decode'>) {}

  chat(draws: readonly Draw[]): ChatLogprobs {
    const content = draws.map(({ token, logprob, top = [] }) => ({
      ...this.one(token, logprob),
      top_logprobs: top.map((other) => this.one(other.token, other.logprob)),
    }));
    return { content, refusal: null };
  }

  /** `offsets`: of each token, characters before it. The token itself is always among the likeliest that are told. */
  text(draws: readonly Draw[], offsets: readonly number[]): TextLogprobs {
    const name = (token: number) => {
      const { text, whole } = this.spell(token);
      return whole ? text : `bytes:${text}`;
    };
    return {
      tokens: draws.map(({ token }) => name(token)),
      token_logprobs: draws.map(({ logprob }) => finite(logprob)),
      top_logprobs: draws.map(({ token, logprob, top = [] }) =>
        // The likeliest come last, so that one whose name another has too is told of with its own probability.
        Object.fromEntries([
          [name(token), finite(logprob)],
          ...top.toReversed().map((other) => [name(other.token), finite(other.logprob)]),
        ]),
      ),
      text_offset: [...offsets],
    };
  }

  private one(token: number, logprob: number | undefined): TokenLogprob {
    const { text, bytes } = this.spell(token);
    return { token: text, logprob: finite(logprob), bytes: bytes && [...bytes] };
  }

  private spell(token: number): { text: string; bytes: Uint8Array | null; whole: boolean } {
    const bytes = this.tokenizer.bytesOf(token);
    // Special tokens have a name, and write nothing.
    if (bytes === null)
      return { text: this.tokenizer.decode([token], { keepSpecial: true }), bytes: null, whole: true };
    return { ...textOf(bytes), bytes };
  }
}

const finite = (logprob = leastLogprob): number => Math.max(logprob, leastLogprob);
