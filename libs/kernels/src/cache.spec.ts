import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tinyConfig, writeTinyModel } from '../test/tiny-model';
import { openKernels } from './index';
import type { Adapter, Base, Cache, CachedSequence, Kernels } from './types';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-cache-'));
let kernels: Kernels;
let base: Base;
let adapter: Adapter;
let cache: Cache;

beforeAll(async () => {
  kernels = openKernels({ threads: 2 });
  const file = join(folder, 'base.lrb');
  await kernels.quantizeBase(writeTinyModel(join(folder, 'model')), file);
  base = await kernels.openBase(file);
  const targets = base.info.linears.map(({ name }) => ({ name, rank: 4, scale: 2 }));
  adapter = base.createAdapter({ targets, seed: 42n });
  adapter.tensors.forEach(({ role }, i) => {
    if (role === 'lora_B') adapter.write(i, adapter.read(i).fill(0.05));
  });
  cache = base.openCache({ pageTokens: 4, pages: 8 });
});

afterAll(() => {
  for (const handle of [cache, adapter, base, kernels]) handle.close();
  rmSync(folder, { recursive: true, force: true });
});

const { vocab_size: vocab } = tinyConfig;
const sequence = (tokens: number[], pages: number[], more: Partial<CachedSequence> = {}): CachedSequence => ({
  tokens: Int32Array.from(tokens),
  pages: Int32Array.from(pages),
  past: 0,
  adapter: null,
  ...more,
});

it('gives each sequence of a mixed batch what it gets alone', async () => {
  const prompts = [
    sequence([5, 6, 7, 8, 9], [7, 0]),
    sequence([11], [3], { adapter }),
    sequence([1, 2, 3, 4], [1, 5], { adapter, wanted: false }),
  ];
  const next = [
    sequence([20], [7, 0], { past: 5 }),
    sequence([21], [3], { past: 1, adapter }),
    sequence([22], [1, 5], { past: 4, adapter }),
  ];
  const first = await cache.run('prefill', prompts);
  const second = await cache.run('decode', next);
  expect([first.length, second.length]).toEqual([2 * vocab, 3 * vocab]);
  const alone = base.openCache({ pageTokens: 64, pages: 1 });
  for (const [s, prompt] of prompts.entries()) {
    const own = { ...prompt, pages: Int32Array.of(0) };
    const whole = await alone.run('prefill', [own]);
    if (s < 2) expect(first.subarray(s * vocab, (s + 1) * vocab)).toEqual(whole);
    const step = await alone.run('decode', [{ ...(next[s] as CachedSequence), pages: own.pages }]);
    expect(second.subarray(s * vocab, (s + 1) * vocab)).toEqual(step);
  }
  alone.close();
});

it('computes what a session does', async () => {
  const session = base.openSession({ adapter, capacity: 8 });
  await session.append(Int32Array.of(3, 1, 4));
  expect(await cache.run('prefill', [sequence([3, 1, 4], [2], { adapter })])).toEqual(session.logits());
  await session.append(Int32Array.of(1));
  expect(await cache.run('decode', [sequence([1], [2], { adapter, past: 3 })])).toEqual(session.logits());
  session.close();
});

it('says what is wrong with a batch', async () => {
  const refused = async (kind: 'prefill' | 'decode', ...sequences: CachedSequence[]): Promise<unknown> =>
    cache.run(kind, sequences).catch((error: unknown) => error);
  expect(await refused('prefill')).toMatchObject({ status: 'invalid_argument' });
  expect(await refused('decode', sequence([1, 2], [0]))).toMatchObject({
    message: expect.stringContaining('one token of each') as string,
  });
  expect(await refused('decode', sequence([1], [8]))).toMatchObject({
    message: expect.stringContaining('pages 0 to 7') as string,
  });
  expect(await refused('decode', sequence([1], [0], { past: 0.5 }))).toMatchObject({
    message: expect.stringContaining('past of sequences[0] is 0.5') as string,
  });
  expect(() => base.openCache({ pageTokens: 0, pages: 1 })).toThrow('at least one page');
});

it('stops when it is told to', async () => {
  const error = await cache
    .run('prefill', [sequence([1], [0])], { signal: AbortSignal.abort() })
    .catch((reason: unknown) => reason);
  expect(error).toMatchObject({ status: 'cancelled' });
});

describe('sample', () => {
  const plain = { temperature: 0, topP: 1, topK: 0, seed: 1n };
  const logits = new Float32Array(2 * vocab);
  logits[7] = 3;
  logits[8] = 2;
  logits[vocab + 60] = 5;

  it('draws from each row by its own settings', async () => {
    const allowed = new Uint32Array(2).fill(0xffff_ffff);
    allowed[1] = 0xffff_ffff & ~(1 << (60 - 32));
    const bias = { tokens: Int32Array.of(8), values: Float32Array.of(1.5) };
    const draws = await cache.sample(logits, [
      { ...plain, bias },
      { ...plain, allowed },
    ]);
    expect(draws).toEqual([{ token: 8 }, { token: 0 }]);
    const history = { tokens: Int32Array.of(7, 60), prompt: 1 };
    const penalised = await cache.sample(logits, [
      { ...plain, history, repetitionPenalty: 2 },
      { ...plain, history, presencePenalty: 4, frequencyPenalty: 2 },
    ]);
    expect(penalised).toEqual([{ token: 8 }, { token: 0 }]);
    const warm = { ...plain, temperature: 3, position: 4, minP: 0.01 };
    expect(await cache.sample(logits, [warm, warm])).toEqual(await cache.sample(logits, [warm, warm]));
  });

  it('draws from the likeliest tokens alone by top-k, top-p and min-p', async () => {
    // Probabilities before anything is left out: 0.5, 0.3, 0.15 and a rest that the others share.
    const steep = new Float32Array(2 * vocab).fill(Math.log(0.05 / (vocab - 3)));
    for (const [token, p] of [
      [5, 0.5],
      [9, 0.3],
      [50, 0.15],
    ] as const)
      for (const row of [0, vocab]) steep[row + token] = Math.log(p);
    const drawn = async (settings: object): Promise<number[]> => {
      const tokens = new Set<number>();
      for (let position = 0; position < 200; position += 2) {
        const at = (offset: number) => ({
          ...plain,
          temperature: 1,
          ...settings,
          position: position + offset,
        });
        for (const { token } of await cache.sample(steep, [at(0), at(1)])) tokens.add(token);
      }
      return [...tokens].sort((a, b) => a - b);
    };
    expect((await drawn({})).length).toBeGreaterThan(3);
    expect(await drawn({ topK: 2 })).toEqual([5, 9]);
    expect(await drawn({ topP: 0.7 })).toEqual([5, 9]);
    expect(await drawn({ topP: 0.4 })).toEqual([5]);
    expect(await drawn({ topP: 0.9 })).toEqual([5, 9, 50]);
    expect(await drawn({ minP: 0.5 })).toEqual([5, 9]);
  });

  it('holds presence, frequency and repetition against what has been said, each by itself', async () => {
    // 7 has 3, 8 has 2; 7 was in the prompt, and was answered twice.
    const history = { tokens: Int32Array.of(7, 7, 7), prompt: 1 };
    const draw = async (settings: object) =>
      (await cache.sample(logits, [{ ...plain, history, ...settings }, plain]))[0]?.token;
    expect(await draw({})).toBe(7);
    expect([await draw({ presencePenalty: 0.9 }), await draw({ presencePenalty: 1.1 })]).toEqual([7, 8]);
    expect([await draw({ frequencyPenalty: 0.4 }), await draw({ frequencyPenalty: 0.6 })]).toEqual([7, 8]);
    expect([await draw({ repetitionPenalty: 1.4 }), await draw({ repetitionPenalty: 1.6 })]).toEqual([7, 8]);
    // What only the prompt has said counts for repetition alone.
    const asked = { tokens: Int32Array.of(7), prompt: 1 };
    expect(await draw({ history: asked, presencePenalty: 2, frequencyPenalty: 2 })).toBe(7);
    expect(await draw({ history: asked, repetitionPenalty: 2 })).toBe(8);
  });

  it('gives log-probabilities of the model', async () => {
    const [draw] = await cache.sample(logits, [plain, plain], { logprobs: 2 });
    const total = Math.log(Math.exp(3) + Math.exp(2) + vocab - 2);
    expect(draw?.top).toEqual([
      { token: 7, logprob: expect.closeTo(3 - total, 5) as number },
      { token: 8, logprob: expect.closeTo(2 - total, 5) as number },
    ]);
    expect(draw).toMatchObject({ token: 7, logprob: draw?.top?.[0]?.logprob });
  });

  it('says what is wrong', async () => {
    await expect(cache.sample(logits, [plain])).rejects.toThrow(`${2 * vocab} logits for 1 samplings`);
    await expect(cache.sample(logits, [plain, { ...plain, topP: 0 }])).rejects.toThrow(
      'sampling[1]: top_p 0',
    );
    await expect(cache.sample(logits, [plain, { ...plain, allowed: new Uint32Array(1) }])).rejects.toThrow(
      'allowed has 1 words',
    );
  });
});
