import { type Adapter, type Base, type Session } from '@lowrank/kernels';
import { makeRecipe, tinyConfig } from '@lowrank/testing';
import { openTiny, type Tiny } from '../test/tiny';
import { complete, generate, greedy } from './generate';
import { sampleOutputs, samplePrompts } from './samples';

let tiny: Tiny;
let adapter: Adapter;
const messages = [{ role: 'user' as const, content: '1+2' }];
const prompt = (text: string): Int32Array => Int32Array.from(tiny.tokenizer.encode(text));

/** A base whose answers are the given ids, whatever it is asked. */
function scripted(ids: readonly number[]): Base {
  let at = 0;
  const session = (): Session => ({
    length: 0,
    append: () => Promise.resolve(),
    logits: () => new Float32Array(tinyConfig.vocab_size),
    sample: () => ids[at++] as number,
    close: () => undefined,
  });
  return { ...tiny.base, openSession: session };
}

beforeAll(async () => {
  tiny = await openTiny();
  adapter = tiny.adapter();
});
afterAll(async () => {
  adapter.close();
  await tiny.close();
});

describe('generate', () => {
  it('continues with the likeliest tokens, as the full forward pass has them', async () => {
    const tokens = prompt('ab');
    const {
      text,
      tokens: count,
      promptTokens,
    } = await complete(tiny.base, tiny.tokenizer, tokens, {
      maxTokens: 1,
      adapter,
    });
    expect([count, promptTokens]).toEqual([1, 2]);
    const batch = { tokens, targets: tokens, starts: Int32Array.of(0, 2) };
    const logits = (await tiny.base.logits(batch, [{ adapter, begin: 0, end: 2 }])).slice(
      -tiny.base.info.vocab,
    );
    const likeliest = logits.indexOf(Math.max(...logits));
    expect(text).toBe(tiny.tokenizer.decode([likeliest]));
  });

  it('answers a conversation, the adapter in another way than the base', async () => {
    const options = { maxTokens: 12 };
    const bare = await generate(tiny.base, tiny.tokenizer, messages, options);
    const adapted = await generate(tiny.base, tiny.tokenizer, messages, { ...options, adapter });
    expect(bare.promptTokens).toBe(
      tiny.tokenizer.encode(tiny.tokenizer.render(messages, { addGenerationPrompt: true })).length,
    );
    expect(adapted.text).not.toBe(bare.text);
    expect(await generate(tiny.base, tiny.tokenizer, messages, options)).toEqual(bare);
  });

  it('draws as the seed says', async () => {
    const draw = (seed: bigint) =>
      complete(tiny.base, tiny.tokenizer, prompt('x'), {
        maxTokens: 8,
        sampling: { ...greedy, temperature: 1.5, seed },
      });
    expect(await draw(1n)).toEqual(await draw(1n));
    const texts = await Promise.all([1n, 2n, 3n, 4n].map(async (seed) => (await draw(seed)).text));
    expect(new Set(texts).size).toBeGreaterThan(1);
  });

  it('ends with the token that ends answers, which is not part of it', async () => {
    const ids = [...tiny.tokenizer.encode('ab'), tiny.tokenizer.eosId as number, 5];
    const pieces: string[] = [];
    const onText = (piece: string) => pieces.push(piece);
    const answer = await complete(scripted(ids), tiny.tokenizer, prompt('x'), { maxTokens: 9, onText });
    expect(answer).toEqual({ text: 'ab', promptTokens: 1, tokens: 2, reason: 'stop' });
    expect(pieces).toEqual(['a', 'b']);
  });

  it('holds back half a character, and gives up on it at the end', async () => {
    const [a = 0, b = 0] = tiny.tokenizer.encode('é');
    const pieces: string[] = [];
    const options = { maxTokens: 3, onText: (piece: string) => pieces.push(piece) };
    const answer = await complete(scripted([a, b, a]), tiny.tokenizer, prompt('x'), options);
    expect(pieces).toEqual(['é', '\uFFFD']);
    expect(answer).toMatchObject({ text: 'é\uFFFD', reason: 'length', tokens: 3 });
  });

  it.each([
    [0, 0],
    [1, 1],
    [7, 7],
    [1000, 56], // the context of 256, less the prompt
  ])('takes at most %i tokens: %i', async (maxTokens, expected) => {
    // Sampling an id that ends nothing keeps it going.
    const text = 'a'.repeat(200);
    const base = { ...tiny.base, openSession: endless };
    const { tokens, reason } = await complete(base, tiny.tokenizer, prompt(text), { maxTokens });
    expect([tokens, reason]).toEqual([expected, 'length']);
  });

  /** A real session that always draws an "a". */
  function endless(options: Parameters<Base['openSession']>[0]): Session {
    const session = tiny.base.openSession(options);
    const close = () => session.close();
    return { ...session, sample: () => tiny.tokenizer.encode('a')[0] as number, close };
  }

  it.each([
    ['empty', 0],
    ['as long as the context', 256],
  ])('refuses a prompt that is %s', async (_title, length) => {
    const full = complete(tiny.base, tiny.tokenizer, new Int32Array(length), { maxTokens: 1 });
    await expect(full).rejects.toMatchObject({
      code: 'validation_failed',
      message: `the conversation has ${length} tokens, the model's context is 256`,
    });
  });

  it('gives back what there is when the signal comes', async () => {
    const stop = new AbortController();
    const base = { ...tiny.base, openSession: endless };
    const onText = (): void => stop.abort();
    const options = { maxTokens: 50, signal: stop.signal, onText };
    expect(await complete(base, tiny.tokenizer, prompt('x'), options)).toEqual({
      text: 'a',
      promptTokens: 1,
      tokens: 1,
      reason: 'aborted',
    });
  });

  it('closes its session, also after an error', async () => {
    const before = tiny.kernels.memory().currentBytes;
    await complete(tiny.base, tiny.tokenizer, prompt('x'), { maxTokens: 2 });
    const onText = (): void => {
      throw new RangeError('no more');
    };
    const base = { ...tiny.base, openSession: endless };
    await expect(complete(base, tiny.tokenizer, prompt('x'), { maxTokens: 2, onText })).rejects.toThrow(
      RangeError,
    );
    expect(tiny.kernels.memory().currentBytes).toBe(before);
  });
});

describe('samples', () => {
  /** A row of a prompt and an answer that ends its turn. */
  function row(before: string, answer: string) {
    const tokens = prompt(`${before}${answer}<|im_end|>\n`);
    const lossMask = new Uint8Array(tokens.length).fill(1, before.length, -1);
    return { tokens, lossMask };
  }
  const sample = async (
    rows: ReturnType<typeof row>[],
    { sequenceLength = 256, signal = new AbortController().signal, samples = {} } = {},
  ) => {
    const recipe = makeRecipe({ training: { sequenceLength }, samples });
    const { maxPositions } = tiny.base.info;
    const messages: string[] = [];
    const onMessage = (_level: string, message: string) => void messages.push(message);
    const prompts = samplePrompts(tiny.tokenizer, rows, { recipe, maxPositions, onMessage });
    const options = { maxTokens: recipe.samples.maxTokens, signal };
    const answered = await sampleOutputs(tiny.base, adapter, tiny.tokenizer, prompts, options);
    return Object.assign(answered, { messages });
  };

  it('answer the first three rows with room for an answer, without and with the adapter', async () => {
    const long = row('p'.repeat(209), 'long');
    const samples = await sample([
      row('', 'none'),
      row('one', 'A'),
      long,
      row('two', 'B'),
      row('three', 'C'),
      row('four', 'D'),
    ]);
    expect(samples.map(({ prompt: p, expected }) => [p, expected])).toEqual([
      ['one', 'A'],
      ['two', 'B'],
      ['three', 'C'],
    ]);
    const options = { maxTokens: 48 };
    const bare = await complete(tiny.base, tiny.tokenizer, prompt('one'), options);
    const adapted = await complete(tiny.base, tiny.tokenizer, prompt('one'), { ...options, adapter });
    expect(samples[0]).toMatchObject({ before: bare.text, after: adapted.text });
    expect(bare.text).not.toBe(adapted.text);
  });

  it('pass over prompts longer than those that were trained on', async () => {
    const samples = await sample([row('t'.repeat(17), 'C'), row('one', 'A')], { sequenceLength: 16 });
    expect(samples.map(({ prompt: p }) => p)).toEqual(['one']);
  });

  it('are of as many rows as the recipe says, or of its own prompts', async () => {
    const rows = [row('one', 'A'), row('two', 'B')];
    expect(await sample(rows, { samples: { count: 1 } })).toHaveLength(1);
    expect(await sample(rows, { samples: { count: 0 } })).toHaveLength(0);
    const own = await sample(rows, { samples: { prompts: ['1+1', 'x'.repeat(300)], maxTokens: 4 } });
    expect([...own]).toMatchObject([{ expected: null, prompt: expect.stringContaining('1+1') }]);
    expect(own.messages).toEqual(['1 of the prompts for samples are too long and are not answered']);
  });

  it('are none once the signal has come', async () => {
    await expect(sample([row('one', 'A')], { signal: AbortSignal.abort('cancel') })).rejects.toBe('cancel');
  });
});
