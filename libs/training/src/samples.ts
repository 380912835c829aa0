import { type JobSample, type Recipe } from '@lowrank/contracts';
import { type ChatTokenizer, type EncodedRow } from '@lowrank/datasets';
import { type Adapter, type Base } from '@lowrank/kernels';
import { complete } from './generate';

/** What is answered again and again while a run goes on. */
export interface SamplePrompt extends Omit<JobSample, 'text'> {
  tokens: Int32Array;
}

/** samples.json of a version. */
export interface Sample extends Omit<JobSample, 'text'> {
  /** Greedy answers of the bare base and of the adapter. */
  before: string;
  after: string;
}

export interface PromptOptions {
  recipe: Recipe;
  /** Tokens that the model has places for. */
  maxPositions: number;
  onMessage(level: 'warn', message: string): void;
}

/** The first of the held-out rows up to their answer, or the recipe's own prompts. Those that are too long, which training did not see either, are passed over. */
export function samplePrompts(
  tokenizer: ChatTokenizer,
  held: readonly EncodedRow[],
  { recipe: { samples, training }, maxPositions, onMessage }: PromptOptions,
): SamplePrompt[] {
  const fits = ({ tokens: { length } }: SamplePrompt): boolean =>
    length > 0 && length <= training.sequenceLength && length + samples.maxTokens <= maxPositions;
  if (samples.prompts !== null) {
    const all = samples.prompts.map((content): SamplePrompt => {
      const prompt = tokenizer.render([{ role: 'user', content }], { addGenerationPrompt: true });
      return { tokens: Int32Array.from(tokenizer.encode(prompt)), prompt, expected: null };
    });
    const kept = all.filter(fits);
    if (kept.length < all.length)
      onMessage(
        'warn',
        `${all.length - kept.length} of the prompts for samples are too long and are not answered`,
      );
    return kept;
  }
  const prompts: SamplePrompt[] = [];
  for (const { tokens, lossMask } of held) {
    if (prompts.length === samples.count) break;
    const begin = lossMask.indexOf(1);
    if (begin < 1) continue;
    const answerEnd = lossMask.indexOf(0, begin);
    const prompt = tokens.slice(0, begin);
    const one = {
      tokens: prompt,
      prompt: tokenizer.decode([...prompt], { keepSpecial: true }),
      expected: tokenizer.decode([...tokens.slice(begin, answerEnd < 0 ? undefined : answerEnd)]),
    };
    if (fits(one)) prompts.push(one);
  }
  return prompts;
}

/** The likeliest answers to prompts, of the bare base where adapter is null. Neither weights nor anything random changes. Rejects with the signal's reason. */
export async function answersTo(
  base: Base,
  adapter: Adapter | null,
  tokenizer: ChatTokenizer,
  prompts: readonly SamplePrompt[],
  { maxTokens, signal }: { maxTokens: number; signal: AbortSignal },
): Promise<JobSample[]> {
  const samples: JobSample[] = [];
  for (const { tokens, prompt, expected } of prompts) {
    const { text } = await complete(base, tokenizer, tokens, { adapter, maxTokens, signal });
    signal.throwIfAborted();
    samples.push({ prompt, expected, text });
  }
  return samples;
}

/** Answers before and after training. */
export async function sampleOutputs(
  base: Base,
  adapter: Adapter,
  tokenizer: ChatTokenizer,
  prompts: readonly SamplePrompt[],
  options: { maxTokens: number; signal: AbortSignal },
): Promise<Sample[]> {
  const before = await answersTo(base, null, tokenizer, prompts, options);
  const after = await answersTo(base, adapter, tokenizer, prompts, options);
  return before.map(({ prompt, expected, text }, i) => ({
    ...{ prompt, expected },
    ...{ before: text, after: after[i]?.text ?? '' },
  }));
}
