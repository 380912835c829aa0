import {
  KernelError,
  type Adapter,
  type Base,
  type Loss,
  type PackedBatch,
  type Rows,
} from '@lowrank/kernels';
import { makeSequence, openTiny, type Tiny } from '../test/tiny';
import { toBatch } from './sequences';
import { TogetherBase } from './together';

const lossOf = (row: Rows): Loss => ({ sum: row.begin, tokens: row.end - row.begin, correct: 0 });

/** One call of the kernels that a test decides about. */
interface KernelCall {
  tokens: number[];
  rows: Rows[];
  signal: AbortSignal | undefined;
  finish(): void;
  fail(status: 'out_of_memory' | 'invalid_argument' | 'cancelled'): void;
}

/** A base whose calls end when the test says so. */
function fakeBase() {
  const calls: KernelCall[] = [];
  const step = (batch: PackedBatch, rows: Rows[], { signal }: { signal?: AbortSignal } = {}) =>
    new Promise<Loss[]>((resolve, reject) =>
      calls.push({
        tokens: [...batch.tokens],
        rows,
        signal,
        finish: () => resolve(rows.map(lossOf)),
        fail: (status) => reject(new KernelError(status, status, 'lr_train_step')),
      }),
    );
  const base = { info: {}, trainStep: step, evalStep: step } as unknown as Base;
  return { base, calls };
}

/** An adapter whose first gradient is what a failed step leaves it at. */
const fakeAdapter = (gradient = 0) => ({ read: () => Float32Array.of(gradient) }) as unknown as Adapter;

const batchOf = (...tokens: number[]): PackedBatch => ({
  tokens: Int32Array.from(tokens),
  targets: Int32Array.from(tokens),
  starts: Int32Array.of(0, tokens.length),
});
const train = (base: Base, tokens: number[], signal?: AbortSignal, adapter = fakeAdapter()) =>
  base.trainStep(batchOf(...tokens), [{ adapter, begin: 0, end: tokens.length }], { signal });
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('TogetherBase', () => {
  let fake: ReturnType<typeof fakeBase>;
  let together: TogetherBase;
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
    fake = fakeBase();
    together = new TogetherBase(fake.base);
  });
  afterEach(() => jest.useRealTimers());

  /** Members of whom each has made a call, so that all are expected. */
  async function expected(count: number): Promise<Base[]> {
    const members = Array.from({ length: count }, () => together.join());
    const first = members.map((member, i) => train(member, [i]));
    // The first goes alone, since nobody else had come yet; the others go together when it has ended.
    for (const call of [0, 1].slice(0, count)) {
      fake.calls[call]?.finish();
      await settle();
      jest.runOnlyPendingTimers();
      await settle();
    }
    await Promise.all(first);
    // One round together, after which each is expected.
    const round = members.map((member, i) => train(member, [i]));
    await settle();
    fake.calls.at(-1)?.finish();
    await Promise.all(round);
    fake.calls.length = 0;
    return members;
  }

  it('makes one call of those that come together, and gives each its own results', async () => {
    const [a, b, c] = (await expected(3)) as [Base, Base, Base];
    const results = [train(a, [1, 2]), train(b, [3]), train(c, [4, 5, 6])];
    await settle();
    expect(fake.calls).toHaveLength(1);
    expect(fake.calls[0]?.tokens).toEqual([1, 2, 3, 4, 5, 6]);
    expect(fake.calls[0]?.rows.map(({ begin, end }) => [begin, end])).toEqual([
      [0, 2],
      [2, 3],
      [3, 6],
    ]);
    fake.calls[0]?.finish();
    expect((await Promise.all(results)).map(([loss]) => loss?.tokens)).toEqual([2, 1, 3]);
  });

  it('makes a call of its own of each kind', async () => {
    const [a, b, c] = (await expected(3)) as [Base, Base, Base];
    const results = [
      train(a, [1]),
      b.evalStep(batchOf(2), [{ adapter: null, begin: 0, end: 1 }]),
      c.trainStep(batchOf(3), [{ adapter: null, begin: 0, end: 1 }], { checkpointActivations: false }),
    ];
    for (const i of [0, 1, 2]) {
      await settle();
      expect(fake.calls).toHaveLength(i + 1);
      expect(fake.calls[i]?.tokens).toEqual([i + 1]);
      fake.calls[i]?.finish();
    }
    await Promise.all(results);
  });

  it('waits for one that is expected, but not for ever, and the next time not at all', async () => {
    const [a, b] = (await expected(2)) as [Base, Base];
    const first = train(a, [1]);
    await settle();
    expect(fake.calls).toHaveLength(0);
    jest.runOnlyPendingTimers();
    expect(fake.calls).toHaveLength(1);
    fake.calls[0]?.finish();
    await first;
    await settle();
    const second = train(a, [2]);
    expect(fake.calls).toHaveLength(2);
    const late = train(b, [3]);
    fake.calls[1]?.finish();
    await second;
    // It has come again, so it is waited with.
    const third = train(a, [4]);
    await settle();
    expect(fake.calls[2]?.tokens).toEqual([3, 4]);
    fake.calls[2]?.finish();
    await Promise.all([late, third]);
  });

  it('goes on at once when the one that is waited for leaves', async () => {
    const [a, b] = (await expected(2)) as [Base, Base];
    const step = train(a, [1]);
    await settle();
    expect(fake.calls).toHaveLength(0);
    b.close();
    expect(fake.calls).toHaveLength(1);
    fake.calls[0]?.finish();
    await step;
  });

  it('lets one that is stopped while it waits go, and the others go on', async () => {
    const [a, b, c] = (await expected(3)) as [Base, Base, Base];
    const stop = new AbortController();
    const stopped = train(a, [1], stop.signal);
    const other = train(b, [2]);
    stop.abort();
    await expect(stopped).rejects.toMatchObject({ status: 'cancelled' });
    a.close();
    const last = train(c, [3]);
    await settle();
    expect(fake.calls.map(({ tokens }) => tokens)).toEqual([[2, 3]]);
    fake.calls[0]?.finish();
    await Promise.all([other, last]);
    await expect(train(a, [1], stop.signal)).rejects.toMatchObject({ status: 'cancelled' });
  });

  it('stops a call of the kernels only when all are stopped', async () => {
    const [a, b] = (await expected(2)) as [Base, Base];
    const stops = [new AbortController(), new AbortController()];
    const ends = Promise.allSettled([train(a, [1], stops[0]?.signal), train(b, [2], stops[1]?.signal)]);
    await settle();
    const [call] = fake.calls as [KernelCall];
    stops[0]?.abort();
    expect(call.signal?.aborted).toBe(false);
    stops[1]?.abort();
    expect(call.signal?.aborted).toBe(true);
    call.fail('cancelled');
    expect(await ends).toEqual(
      [1, 2].map(() => ({ status: 'rejected', reason: expect.objectContaining({ status: 'cancelled' }) })),
    );
    expect(fake.calls).toHaveLength(1);
  });

  it('asks again for fewer when there was no memory for all, and for no more than that later', async () => {
    const [a, b, c, d] = (await expected(4)) as [Base, Base, Base, Base];
    const round = () => [train(a, [1]), train(b, [2]), train(c, [3]), train(d, [4])];
    const steps = round();
    await settle();
    fake.calls[0]?.fail('out_of_memory');
    for (const i of [1, 2]) {
      await settle();
      fake.calls[i]?.finish();
    }
    await Promise.all(steps);
    const more = round();
    for (const i of [3, 4]) {
      await settle();
      fake.calls[i]?.finish();
    }
    await Promise.all(more);
    expect(fake.calls.map(({ tokens }) => tokens)).toEqual([
      [1, 2, 3, 4],
      [1, 2],
      [3, 4],
      [1, 2],
      [3, 4],
    ]);
  });

  it('gives each only its own failure', async () => {
    const [a, b, c] = (await expected(3)) as [Base, Base, Base];
    const ends = Promise.allSettled([train(a, [1]), train(b, [2]), train(c, [3])]);
    // The three together, the first two, each of these, the third.
    for (const [i, good] of [false, false, true, false, true].entries()) {
      await settle();
      if (good) fake.calls[i]?.finish();
      else fake.calls[i]?.fail('invalid_argument');
    }
    expect((await ends).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('does not repeat a step that has left a part of itself in the gradients', async () => {
    const [a, b] = (await expected(2)) as [Base, Base];
    const ends = Promise.allSettled([train(a, [1], undefined, fakeAdapter(NaN)), train(b, [2])]);
    await settle();
    fake.calls[0]?.fail('out_of_memory');
    await settle();
    fake.calls[1]?.finish();
    expect((await ends).map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  });
});

describe('TogetherBase on the kernels', () => {
  let tiny: Tiny;
  beforeAll(async () => {
    tiny = await openTiny();
  });
  afterAll(() => tiny.close());

  const jobs = [3, 4, 5].map((length, i) => ({
    batch: toBatch([makeSequence(4 * length, 11 * i), makeSequence(2 * length, 7 + i)], [[0, 1]]),
    create: () => tiny.adapter({ dropout: i / 10, seed: BigInt(i), only: i === 1 ? 'q_proj' : '' }),
    row: { lossScale: 0.1, dropoutSeed: BigInt(100 + i), labelSmoothing: i / 20, neftuneAlpha: 5 * i },
    preference:
      i === 1
        ? ({ objective: 'orpo', lambda: 0.2 } as const)
        : ({ objective: 'dpo', beta: 0.1, reference: Float64Array.of(-20, -10) } as const),
  }));
  type TestJob = (typeof jobs)[number];
  const optimizer = {
    ...{ learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    ...{ weightDecay: 0, maxGradNorm: 1 },
  };

  /** Steps and evaluations of every kind, and what they leave. */
  async function run(base: Base, { batch, create, row, preference }: TestJob, steps: number) {
    const adapter = create();
    const results: unknown[] = [];
    const rows = { ...row, adapter, begin: 0, end: batch.tokens.length };
    const plain = { ...rows, labelSmoothing: 0, neftuneAlpha: 0 };
    for (let step = 0; step < steps; step += 1) {
      results.push(await base.trainStep(batch, [rows]));
      results.push(await base.evalStep(batch, [{ ...plain, adapter: step === 0 ? null : adapter }]));
      results.push(await base.preferenceStep(batch, [plain], [preference]));
      results.push(await base.preferenceEval(batch, [plain], [preference]));
      results.push(await adapter.optimizerStep(optimizer));
    }
    const state = Buffer.from(adapter.exportState()).toString('base64');
    adapter.close();
    return { results, state };
  }

  it('gives each the bytes that it gets alone, though they come, step and leave at different times', async () => {
    const alone = [];
    for (const [i, job] of jobs.entries()) alone.push(await run(tiny.base, job, 2 + 2 * i));
    const together = new TogetherBase(tiny.base);
    const trainStep = jest.spyOn(tiny.base, 'trainStep');
    const ends = await Promise.all(
      jobs.map(async (job, i) => {
        const base = together.join();
        const end = await run(base, job, 2 + 2 * i);
        base.close();
        return end;
      }),
    );
    expect(ends).toEqual(alone);
    // Twelve steps, some of them in one call with others.
    expect(trainStep.mock.calls.length).toBeLessThan(12);
    expect(trainStep.mock.calls.reduce((sum, [, rows]) => sum + rows.length, 0)).toBe(12);
    trainStep.mockRestore();
  });
});
