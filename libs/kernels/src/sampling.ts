import { type Context } from './context';
import { KernelError } from './errors';
import type { Call } from './native';
import type { Draw, Sampling } from './types';
import { uint32, uint64 } from './values';

/** lr_sampling; how long the arrays are is checked here, as the library cannot see it. */
export function nativeSampling(sampling: Sampling, vocab: number, call: Call): object {
  const { history, bias, allowed } = sampling;
  if (bias !== undefined && bias.tokens.length !== bias.values.length)
    throw new KernelError(
      'invalid_argument',
      `${bias.tokens.length} tokens but ${bias.values.length} values of a bias`,
      call,
    );
  const words = Math.ceil(vocab / 32);
  if (allowed !== undefined && allowed.length !== words)
    throw new KernelError(
      'invalid_argument',
      `allowed has ${allowed.length} words; a vocabulary of ${vocab} needs ${words}`,
      call,
    );
  return {
    temperature: sampling.temperature,
    top_p: sampling.topP,
    top_k: uint32('topK', sampling.topK, call),
    seed: uint64('seed', sampling.seed, call),
    position: BigInt(uint32('position', sampling.position ?? 0, call)),
    min_p: sampling.minP ?? 0,
    repetition_penalty: sampling.repetitionPenalty ?? 1,
    presence_penalty: sampling.presencePenalty ?? 0,
    frequency_penalty: sampling.frequencyPenalty ?? 0,
    history: history?.tokens ?? null,
    n_history: history?.tokens.length ?? 0,
    n_prompt: uint32('prompt', history?.prompt ?? 0, call),
    bias_tokens: bias?.tokens ?? null,
    biases: bias?.values ?? null,
    n_biases: bias?.tokens.length ?? 0,
    allowed: allowed ?? null,
  };
}

/** Draws a token from each row of logits [samplings × vocab]; see Cache.sample. */
export async function sample(
  context: Context,
  vocab: number,
  logits: Float32Array,
  samplings: readonly Sampling[],
  top: number | undefined,
): Promise<Draw[]> {
  const call = 'lr_sample';
  const n = samplings.length;
  if (logits.length !== n * vocab)
    throw new KernelError(
      'invalid_argument',
      `${logits.length} logits for ${n} samplings over ${vocab} tokens`,
      call,
    );
  const native = samplings.map((sampling) => nativeSampling(sampling, vocab, call));
  const nTop = uint32('logprobs', top ?? 0, call);
  const tokens = new Int32Array(n);
  const topTokens = new Int32Array(n * nTop);
  const logprobs = new Float32Array(n * (1 + nTop));
  const pointer = context.handle.open(call);
  await context.run(call, {
    uses: [context.handle],
    args: () => [
      pointer,
      logits,
      vocab,
      native,
      n,
      tokens,
      nTop,
      nTop === 0 ? null : topTokens,
      top === undefined ? null : logprobs,
    ],
  });
  return Array.from(tokens, (token, i) => {
    if (top === undefined) return { token };
    const at = i * (1 + nTop);
    const best = Array.from(topTokens.subarray(i * nTop, (i + 1) * nTop), (id, j) => ({
      token: id,
      logprob: logprobs[at + 1 + j] as number,
    }));
    return { token, logprob: logprobs[at] as number, top: best };
  });
}
