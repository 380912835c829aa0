import { type ChatTokenizer } from '@lowrank/datasets';
import { type Model } from '../models/models';
import { generate, type GenerateOptions, type Piece } from './generate';

/** A model that says these tokens, each with its text; one without a text is the first half of a character. */
function saying(texts: readonly string[]): Parameters<typeof generate>[0] {
  async function* tokens() {
    for (let token = 0; token < texts.length; token += 1) yield { token, logprob: -token };
  }
  const stream = () => ({ push: (id: number) => texts[id] ?? '', end: () => '' });
  const tokenizer = { stopIds: new Set([99]), stream } as unknown as ChatTokenizer;
  const batch = { longest: 100, generate: tokens } as unknown as Model['batch'];
  return { batch, tokenizer, adapter: null, scope: 'a team' };
}

async function pieces(texts: readonly string[], options: Partial<GenerateOptions> = {}) {
  const generation = generate(saying(texts), {
    prompt: Int32Array.of(1),
    sampling: { temperature: 0, topP: 1, topK: 0, seed: 0n },
    ...{ maxTokens: texts.length, stop: [], signal: new AbortController().signal, ...options },
  });
  const seen: [string, number[], number[]][] = [];
  let step = await generation.next();
  for (; !step.done; step = await generation.next()) {
    const { text, draws, offsets }: Piece = step.value;
    seen.push([text, draws.map(({ token }) => token), offsets]);
  }
  return { seen, end: step.value };
}

it('tells of tokens with the text that they are of', async () => {
  expect(await pieces(['a', '', '€b', 'c'])).toEqual({
    seen: [
      ['a', [0], [0]],
      ['€b', [1, 2], [1, 1]],
      ['c', [3], [3]],
    ],
    end: { tokens: 4, cachedTokens: 0, text: Int32Array.of(1, 0, 1, 2, 3), reason: 'length' },
  });
});

it('holds tokens back with their text, and never tells of those of a stop string', async () => {
  expect((await pieces(['a', 'b', 'x', 'c'], { stop: ['bc'] })).seen).toEqual([
    ['a', [0], [0]],
    ['bx', [1, 2], [1, 2]],
    ['c', [3], [3]],
  ]);
  expect(await pieces(['a', 'xb', 'c', 'd'], { stop: ['bc'] })).toEqual({
    seen: [
      ['a', [0], [0]],
      ['x', [1], [1]],
    ],
    end: { tokens: 3, cachedTokens: 0, text: Int32Array.of(1, 0, 1, 2), reason: 'stop' },
  });
});

it('ends with what was held back', async () => {
  expect(await pieces(['a', 'b'], { stop: ['bc'] })).toEqual({
    seen: [
      ['a', [0], [0]],
      ['b', [1], [1]],
    ],
    end: { tokens: 2, cachedTokens: 0, text: Int32Array.of(1, 0, 1), reason: 'length' },
  });
});
