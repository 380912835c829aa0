import {
  type AnsweredCall,
  type ChatCompletion,
  type ChatCompletionAnswer,
  type ChatLogprobs,
  type FinishReason,
  type ServeRequest,
  type TextCompletion,
  type TextCompletionAnswer,
  type TextLogprobs,
  type Usage,
} from '@lowrank/contracts';
import { randomBytes } from 'node:crypto';

/** What OpenAI's clients are told: https://platform.openai.com/docs/api-reference/chat/object and …/chat-streaming. */

export interface AnswerHead {
  id: string;
  /** Seconds since 1970. */
  created: number;
  model: string;
}

export type Completion = ServeRequest['completion'];

export function headOf({ kind, body }: Completion): AnswerHead {
  const prefix = kind === 'chat' ? 'chatcmpl' : 'cmpl';
  return {
    id: `${prefix}-${randomBytes(12).toString('hex')}`,
    created: Math.floor(Date.now() / 1000),
    model: body.model,
  };
}

export interface Choice {
  text: string;
  calls: AnsweredCall[];
  /** Of the kind of the completion; null where they are not asked for. */
  logprobs: ChatLogprobs | TextLogprobs | null;
  reason: FinishReason;
}

/** `cached`: tokens of the prompt that an earlier request had left in the cache. */
export const usageOf = (prompt: number, completion: number, cached: number): Usage => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  prompt_tokens_details: { cached_tokens: cached },
});

/** The whole answer at once. */
export function answerOf(
  kind: Completion['kind'],
  head: AnswerHead,
  choices: readonly Choice[],
  usage: Usage,
): ChatCompletionAnswer | TextCompletionAnswer {
  if (kind === 'chat')
    return {
      ...head,
      object: 'chat.completion',
      choices: choices.map(({ text, calls, logprobs, reason }, index) => ({
        index,
        message: {
          ...{ role: 'assistant', content: calls.length > 0 && text === '' ? null : text, refusal: null },
          ...(calls.length > 0 ? { tool_calls: calls } : {}),
        },
        logprobs: logprobs as ChatLogprobs | null,
        finish_reason: reason,
      })),
      usage,
    };
  return {
    ...head,
    object: 'text_completion',
    choices: choices.map(({ text, logprobs, reason }, index) => ({
      index,
      text,
      logprobs: logprobs as TextLogprobs | null,
      finish_reason: reason,
    })),
    usage,
  };
}

/** The chunks of a streamed answer. With `usage`, every chunk has that field, null until the last. */
export class Chunks {
  private readonly usage: { usage?: null };

  constructor(
    private readonly kind: Completion['kind'],
    private readonly head: AnswerHead,
    { stream_options: options }: Pick<ChatCompletion | TextCompletion, 'stream_options'>,
  ) {
    this.usage = options?.include_usage === true ? { usage: null } : {};
  }

  /** Says who speaks, before the first text. Text completions have nothing of the kind. */
  begin(index: number): string {
    return this.kind === 'chat' ? this.chunk(index, { delta: { role: 'assistant', content: '' } }) : '';
  }

  /** Calls of functions that begin, or more of their arguments. */
  calls(index: number, calls: readonly object[]): string {
    return this.chunk(index, { delta: { tool_calls: calls } });
  }

  text(index: number, text: string, logprobs: Choice['logprobs']): string {
    return this.chunk(index, this.kind === 'chat' ? { delta: { content: text } } : { text }, { logprobs });
  }

  finish(index: number, reason: FinishReason): string {
    return this.chunk(index, this.kind === 'chat' ? { delta: {} } : { text: '' }, { reason });
  }

  /** The usage, where it is asked for, and the end of the stream. */
  end(usage: Usage): string {
    const last = 'usage' in this.usage ? this.event({ choices: [], usage }) : '';
    return `${last}data: [DONE]\n\n`;
  }

  private chunk(
    index: number,
    content: object,
    { logprobs = null, reason }: Partial<Omit<Choice, 'text' | 'calls'>> = {},
  ): string {
    return this.event({
      choices: [{ index, ...content, logprobs, finish_reason: reason ?? null }],
      ...this.usage,
    });
  }

  private event(fields: object): string {
    const object = this.kind === 'chat' ? 'chat.completion.chunk' : 'text_completion';
    return `data: ${JSON.stringify({ ...this.head, object, ...fields })}\n\n`;
  }
}
