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
}

export interface Generated {
  /** Without the token that ended the answer. */
  tokens: number;
  reason: FinishReason;
}

/**
 * Yields an answer's text as it comes and returns how it ended.
 * Errors: context_exceeded when the prompt leaves no room, KernelError, the signal's reason.
 */
export async function* generate(
  { base, tokenizer, adapter }: Model,
  { prompt, sampling, maxTokens, stop, signal }: GenerateOptions,
): AsyncGenerator<string, Generated> {
  const room = base.info.maxPositions - prompt.length;
  if (room < 1)
    throw new LowrankError(
      'context_exceeded',
      `The prompt has ${prompt.length} tokens; the model's context is ${base.info.maxPositions}.`,
    );
  const limit = Math.min(maxTokens ?? room, room);
  const session = base.openSession({ adapter, capacity: prompt.length + limit });
  const text = tokenizer.stream();
  const filter = new StopFilter(stop);
  try {
    await session.append(prompt, { signal });
    let tokens = 0;
    for (;;) {
      const token = session.sample(sampling);
      if (tokenizer.stopIds.has(token)) break;
      tokens += 1;
      const piece = filter.push(text.push(token));
      if (piece !== '') yield piece;
      if (filter.stopped) return { tokens, reason: 'stop' };
      if (tokens === limit) {
        yield filter.push(text.end()) + filter.end();
        return { tokens, reason: filter.stopped ? 'stop' : 'length' };
      }
      await session.append(Int32Array.of(token), { signal });
    }
    yield filter.push(text.end()) + filter.end();
    return { tokens, reason: 'stop' };
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    session.close();
  }
}
