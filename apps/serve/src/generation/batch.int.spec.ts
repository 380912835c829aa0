import { type Adapter, type Draw } from '@lowrank/kernels';
import { World } from '../test/world';
import { Batch, type SequenceRequest } from './batch';

let world: World;
let adapters: (Adapter | null)[];

beforeAll(async () => {
  world = await World.make();
  adapters = [null, (await world.addAdapter(4)).adapter, (await world.addAdapter(2)).adapter];
});
afterAll(() => world.end());

const sampling = { temperature: 0, topP: 1, topK: 0, seed: 0n };
const never = new AbortController().signal;

/** Prompts of 1 to 40 tokens, over the adapters in turn, answered with 4 to 35 tokens; some of them drawn. */
const requests = (count: number): SequenceRequest[] =>
  Array.from({ length: count }, (_, i) => ({
    adapter: adapters[i % adapters.length] ?? null,
    prompt: Int32Array.from({ length: 1 + ((i * 13) % 40) }, (_token, t) => (7 * t + i) % 250),
    maxTokens: 4 + ((i * 7) % 32),
    sampling: i % 4 === 3 ? { ...sampling, temperature: 1, seed: BigInt(i) } : sampling,
    signal: never,
    scope: 'a team',
  }));

async function tokensOf(batch: Batch, request: SequenceRequest): Promise<number[]> {
  const tokens: number[] = [];
  for await (const { token } of batch.generate(request)) tokens.push(token);
  return tokens;
}

/** By a session of its own, without any batch. */
async function alone({ adapter, prompt, maxTokens, sampling: how }: SequenceRequest): Promise<number[]> {
  const session = world.base.openSession({ adapter, capacity: prompt.length + maxTokens });
  const tokens: number[] = [];
  await session.append(prompt);
  for (;;) {
    tokens.push(session.sample(how));
    if (tokens.length === maxTokens) break;
    await session.append(Int32Array.from(tokens.slice(-1)));
  }
  session.close();
  return tokens;
}

it.each([
  ['with room for all', 4096],
  // Far less than the sequences need: those that came last give way, and come again.
  ['with room for a few', 96],
])('gives each of many sequences what it gets alone, %s', async (_name, cacheTokens) => {
  const batch = new Batch(world.base, cacheTokens);
  const many = requests(17);
  const expected = [];
  for (const request of many) expected.push(await alone(request));
  expect(await Promise.all(many.map((request) => tokensOf(batch, request)))).toEqual(expected);
  // Everything has been given back: once more, in another order.
  const again = await Promise.all(many.toReversed().map((request) => tokensOf(batch, request)));
  expect(again.toReversed()).toEqual(expected);
  batch.close();
});

it('keeps no room for an answer that is whole, though its reader is slow', async () => {
  // Room for one of the two at a time.
  const batch = new Batch(world.base, 32);
  const [first, second] = requests(2).map((request) => ({
    ...request,
    prompt: Int32Array.from({ length: 20 }, (_token, t) => t),
    maxTokens: 8,
  })) as [SequenceRequest, SequenceRequest];
  const slow = batch.generate(first);
  const begun = await slow.next();
  expect(await tokensOf(batch, second)).toEqual(await alone(second));
  const rest: number[] = [];
  for await (const { token } of slow) rest.push(token);
  expect([(begun.value as Draw).token, ...rest]).toEqual(await alone(first));
  batch.close();
});

it('goes on without those who leave', async () => {
  const batch = new Batch(world.base, 4096);
  const [first, second, third] = requests(3) as [SequenceRequest, SequenceRequest, SequenceRequest];
  const leaving = new AbortController();
  const left = tokensOf(batch, { ...second, maxTokens: 200, signal: leaving.signal });
  const broken = (async () => {
    for await (const _token of batch.generate({ ...third, maxTokens: 200 })) return 'read one';
  })();
  const stays = tokensOf(batch, first);
  leaving.abort(new Error('left'));
  await expect(left).rejects.toThrow('left');
  expect(await broken).toBe('read one');
  expect(await stays).toEqual(await alone(first));
  batch.close();
});

it('fails the one sequence that cannot be computed, and no other', async () => {
  const batch = new Batch(world.base, 4096);
  const [good, other] = requests(2) as [SequenceRequest, SequenceRequest];
  const bad = { ...other, prompt: Int32Array.of(1, 2, 100_000) };
  const results = await Promise.allSettled([good, bad, good].map((request) => tokensOf(batch, request)));
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect((results[0] as PromiseFulfilledResult<number[]>).value).toEqual(await alone(good));
  batch.close();
});

/** When a batch has ended its round. */
const later = () => new Promise((resolve) => setTimeout(resolve, 20));

describe('prompts that begin alike', () => {
  /** 100 tokens, of which `common` are the same for all. */
  const prompt = (common: number, own: number) =>
    Int32Array.from({ length: 100 }, (_token, t) => (t < common ? (5 * t) % 250 : (own + 3 * t) % 250));

  const reusedBy = async (batch: Batch, request: SequenceRequest) => {
    let reused = 0;
    const tokens = await tokensOf(batch, { ...request, onReuse: (count) => (reused = count) });
    return { tokens, reused };
  };

  it('are taken through the model once, and answered as without that', async () => {
    const batch = new Batch(world.base, 1024);
    const [first] = requests(1) as [SequenceRequest];
    for (const adapter of adapters.slice(0, 2))
      for (const [common, expected] of [
        [50, 0],
        [50, 48],
        [100, 48],
        [100, 96],
        [80, 80],
        [15, 0],
      ] as const) {
        const request = { ...first, adapter, prompt: prompt(common, 7 * common + expected), maxTokens: 4 };
        expect(await reusedBy(batch, request)).toEqual({ tokens: await alone(request), reused: expected });
      }
    batch.close();
  });

  it('are taken through the model once though they come together', async () => {
    const batch = new Batch(world.base, 2048);
    const [first] = requests(1) as [SequenceRequest];
    const asked = [
      [100, 0],
      [50, 1],
      [100, 2],
      [0, 3],
    ] as const;
    const many = asked.map(([common, own]) => ({ ...first, prompt: prompt(common, own), maxTokens: 4 }));
    // While this one's round goes on, the others come, and are in the next together.
    const before = tokensOf(batch, { ...first, prompt: prompt(0, 4) });
    const answers = Promise.all(many.map((request) => reusedBy(batch, request)));
    await before;
    const expected = [];
    for (const request of many) expected.push(await alone(request));
    expect((await answers).map(({ tokens }) => tokens)).toEqual(expected);
    // The first computes what the second and the third begin with.
    expect((await answers).map(({ reused }) => reused)).toEqual([0, 48, 96, 0]);
    batch.close();
  });

  it('find an answer that was read again, with the bytes that they would compute', async () => {
    const counts = { tokens: 0, reused: 0 };
    const batch = new Batch(world.base, 1024, counts);
    const [first] = requests(1) as [SequenceRequest];
    for (const adapter of adapters.slice(0, 2)) {
      const asked = { ...first, adapter, prompt: prompt(100, 0).slice(0, 40), maxTokens: 150 };
      const answer = await tokensOf(batch, asked);
      const text = { adapter, scope: asked.scope, tokens: Int32Array.from([...asked.prompt, ...answer]) };
      await later();
      const steps = [await batch.reread(text), await batch.reread(text), await batch.reread(text)];
      // 190 tokens are 11 pages, of which the prompt has left 2; 4 of them go at a time.
      expect(steps).toEqual([true, true, false]);
      const next = { ...asked, prompt: Int32Array.from([...text.tokens, 1, 2, 3]), maxTokens: 30 };
      expect(await reusedBy(batch, next)).toEqual({ tokens: await alone(next), reused: 176 });
      await later();
      expect(await batch.reread(text)).toBe(false);
    }
    expect(counts).toEqual({ tokens: 2 * 9 * 16, reused: 2 * 9 * 16 });
    batch.close();
  });

  it('are read again only while nobody is answered, and where there is room', async () => {
    const counts = { tokens: 0, reused: 0 };
    const batch = new Batch(world.base, 128, counts);
    const [first] = requests(1) as [SequenceRequest];
    const text = { adapter: null, scope: first.scope, tokens: prompt(100, 0) };
    const answer = tokensOf(batch, first);
    expect(await batch.reread(text)).toBe(true);
    expect(await answer).toEqual(await alone(first));
    expect(counts.tokens).toBe(0);
    // One who comes while a page is read waits for that, and for no more.
    await later();
    const reading = batch.reread(text);
    const asked = { ...first, prompt: text.tokens, maxTokens: 4 };
    expect(await tokensOf(batch, asked)).toEqual(await alone(asked));
    expect(await reading).toBe(true);
    await later();
    // Of 10 pages 8 are there.
    const long = { ...text, tokens: Int32Array.from({ length: 160 }, (_token, t) => t) };
    expect([await batch.reread(long), await batch.reread(long), await batch.reread(long)]).toEqual([
      ...[true, true, false],
    ]);
    expect(batch.load.used).toBe(0);
    batch.close();
  });

  it('share nothing with those of another scope', async () => {
    const batch = new Batch(world.base, 1024);
    const [first] = requests(1) as [SequenceRequest];
    const request = { ...first, prompt: prompt(100, 0) };
    expect((await reusedBy(batch, request)).reused).toBe(0);
    expect((await reusedBy(batch, { ...request, scope: 'another team' })).reused).toBe(0);
    expect((await reusedBy(batch, request)).reused).toBe(96);
    batch.close();
  });

  it('keep no room that others need', async () => {
    const batch = new Batch(world.base, 128);
    const [first] = requests(1) as [SequenceRequest];
    const many = Array.from({ length: 4 }, (_, i) => ({ ...first, prompt: prompt(i % 2 === 0 ? 40 : 0, i) }));
    const expected = [];
    for (const request of many) expected.push(await alone(request));
    expect(await Promise.all(many.map((request) => tokensOf(batch, request)))).toEqual(expected);
    batch.close();
  });
});
