import { LowrankError, type ChatMessage } from '@lowrank/contracts';
import { type ChatTokenizer } from '@lowrank/datasets';
import { type Adapter, type Base, type Sampling } from '@lowrank/kernels';
import { isCancelled } from './errors';

export interface GenerateOptions {
  /** null: the bare base. */
  adapter?: Adapter | null;
  /** Default: greedy. */
  sampling?: Sampling;
  /** Most tokens to generate. */
  maxTokens: number;
  /** Ends the answer early; what was generated so far is returned. */
  signal?: AbortSignal;
  /** Gets the answer piece by piece. */
  onText?: (text: string) => void;
}

export interface Generated {
  text: string;
  promptTokens: number;
  /** Without the token that ended the answer. */
  tokens: number;
  /** `stop`: the model ended its answer; `length`: maxTokens or the model's context; `aborted`: the signal. */
  reason: 'stop' | 'length' | 'aborted';
}

export const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, seed: 0n };

/** Generates what follows prompt tokens. Throws LowrankError validation_failed when the prompt fills the model's context. */
export async function complete(
  base: Base,
  tokenizer: ChatTokenizer,
  prompt: Int32Array,
  { adapter = null, sampling = greedy, maxTokens, signal, onText }: GenerateOptions,
): Promise<Generated> {
  const room = base.info.maxPositions - prompt.length;
  if (prompt.length === 0 || room < 1)
    throw new LowrankError(
      'validation_failed',
      `the conversation has ${prompt.length} tokens, the model's context is ${base.info.maxPositions}`,
    );
  const limit = Math.max(0, Math.min(maxTokens, room));
  const session = base.openSession({ adapter, capacity: prompt.length + limit });
  const stream = tokenizer.stream();
  let text = '';
  let tokens = 0;
  const show = (piece: string) => {
    text += piece;
    if (piece !== '') onText?.(piece);
  };
  const finish = (reason: Generated['reason']): Generated => {
    show(stream.end());
    return { text, promptTokens: prompt.length, tokens, reason };
  };
  try {
    await session.append(prompt, { signal });
    if (limit < 1) return finish('length');
    for (;;) {
      const token = session.sample(sampling);
      if (tokenizer.stopIds.has(token)) return finish('stop');
      tokens += 1;
      show(stream.push(token));
      if (tokens === limit) return finish('length');
      await session.append(Int32Array.of(token), { signal });
    }
  } catch (error) {
    if (signal?.aborted && isCancelled(error)) return finish('aborted');
    throw error;
  } finally {
    session.close();
  }
}

/** The assistant's answer to a conversation, rendered with the model's own template. Throws as complete does. */
export async function generate(
  base: Base,
  tokenizer: ChatTokenizer,
  messages: readonly ChatMessage[],
  options: GenerateOptions,
): Promise<Generated> {
  const text = tokenizer.render(messages, { addGenerationPrompt: true });
  return complete(base, tokenizer, Int32Array.from(tokenizer.encode(text)), options);
}
