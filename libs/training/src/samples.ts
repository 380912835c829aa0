import { type ChatTokenizer, type EncodedRow } from '@lowrank/datasets';
import { type Adapter, type Base } from '@lowrank/kernels';
import { complete } from './generate';

const SAMPLES = 3;
const SAMPLE_TOKENS = 48;

export interface Sample {
  /** The rendered conversation up to the answer, special tokens included. */
  prompt: string;
  /** The dataset's own answer. */
  expected: string;
  /** Greedy answers of at most 48 tokens, of the bare base and of the adapter. */
  before: string;
  after: string;
}

export interface SampleOptions {
  /** In tokens: rows with longer prompts, which training did not see either, are passed over. */
  longestPrompt: number;
  signal: AbortSignal;
}

/** Answers to the first of the held-out rows, before and after training. */
export async function sampleOutputs(
  base: Base,
  adapter: Adapter,
  tokenizer: ChatTokenizer,
  held: readonly EncodedRow[],
  { longestPrompt, signal }: SampleOptions,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const { tokens, lossMask } of held) {
    const begin = lossMask.indexOf(1);
    if (samples.length === SAMPLES) break;
    if (begin < 1 || begin > longestPrompt || begin + SAMPLE_TOKENS > base.info.maxPositions) continue;
    const answerEnd = lossMask.indexOf(0, begin);
    const prompt = tokens.slice(0, begin);
    const options = { maxTokens: SAMPLE_TOKENS, signal };
    const before = await complete(base, tokenizer, prompt, options);
    const after = await complete(base, tokenizer, prompt, { ...options, adapter });
    samples.push({
      prompt: tokenizer.decode([...prompt], { keepSpecial: true }),
      expected: tokenizer.decode([...tokens.slice(begin, answerEnd < 0 ? undefined : answerEnd)]),
      before: before.text,
      after: after.text,
    });
  }
  signal.throwIfAborted();
  return samples;
}
