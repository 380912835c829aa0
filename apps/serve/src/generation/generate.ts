import { type FinishReason, LowrankError } from '@lowrank/contracts';
import { type Sampling } from '@lowrank/kernels';
import { type Model } from '../models/models';
import { StopFilter } from './stops';

export interface GenerateOptions {
  prompt: Int32Array;
  sampling: Sampling;
  /** null: the rest of the model's context. */
  maxTokens: number | null;
  /** Strings before which the answer ends. */
  stop: readonly string[];
  /** Ends the work, with its reason as the error. */
  signal: AbortSignal;
  /** Whose prompts may share pages of the cache: a team's, so that nobody learns from others' what was asked. */
  scope: string;
}

export interface Generated {
  /** Without the token that ended the answer. */
  tokens: number;
  /** Tokens of the prompt that were in the cache already. */
  cachedTokens: number;
  reason: FinishReason;
}

/**
 * Yields an answer's text as it comes and returns how it ended.
 * Errors: validation_failed for an empty prompt, context_exceeded when it leaves no room, KernelError, the signal's reason.
 */
export async function* generate(
  { batch, tokenizer, adapter }: Model,
  { prompt, sampling, maxTokens, stop, signal, scope }: GenerateOptions,
): AsyncGenerator<string, Generated> {
  if (prompt.length === 0) throw new LowrankError('validation_failed', 'The prompt has no tokens.');
  const room = batch.longest - prompt.length;
  if (room < 1)
    throw new LowrankError(
      'context_exceeded',
      `The prompt has ${prompt.length} tokens; there is room for ${batch.longest} with the answer.`,
    );
  const limit = Math.min(maxTokens ?? room, room);
  const text = tokenizer.stream();
  const filter = new StopFilter(stop);
  let tokens = 0;
  let cachedTokens = 0;
  const onReuse = (reused: number) => (cachedTokens = reused);
  const sequence = { adapter, prompt, maxTokens: limit, sampling, signal, scope, onReuse };
  for await (const token of batch.generate(sequence)) {
    if (tokenizer.stopIds.has(token)) {
      yield filter.push(text.end()) + filter.end();
      return { tokens, cachedTokens, reason: 'stop' };
    }
    tokens += 1;
    const piece = filter.push(text.push(token));
    if (piece !== '') yield piece;
    if (filter.stopped) return { tokens, cachedTokens, reason: 'stop' };
  }
  yield filter.push(text.end()) + filter.end();
  return { tokens, cachedTokens, reason: filter.stopped ? 'stop' : 'length' };
}
