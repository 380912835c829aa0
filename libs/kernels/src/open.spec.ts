import { existsSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tinyConfig, writeTinyModel } from '../test/tiny-model';
import { KernelError, openKernels } from './index';
import type { Adapter, Base, Kernels, PackedBatch } from './types';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-kernels-'));
const baseFile = join(folder, 'base.lrb');
let kernels: Kernels;
let base: Base;

const settings = {
  learningRate: 0.02,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
};

function packed(lengths: number[]): PackedBatch {
  const starts = [0];
  for (const length of lengths) starts.push((starts.at(-1) as number) + length);
  const total = starts.at(-1) as number;
  const tokens = Int32Array.from({ length: total }, (_, t) => (t * 7 + 3) % tinyConfig.vocab_size);
  const targets = Int32Array.from({ length: total }, (_, t) =>
    starts.includes(t + 1) ? -100 : (tokens[t + 1] as number),
  );
  return { tokens, targets, starts: Int32Array.from(starts) };
}

function newAdapter(dropout = 0): Adapter {
  const targets = base.info.linears.map(({ name }) => ({ name, rank: 4, scale: 2 }));
  return base.createAdapter({ targets, dropout, seed: 42n });
}

async function rejection(promise: Promise<unknown>): Promise<KernelError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(KernelError);
  return error as KernelError;
}

beforeAll(async () => {
  kernels = openKernels({ threads: 2 });
  const progress: [number, number][] = [];
  await kernels.quantizeBase(writeTinyModel(join(folder, 'model')), baseFile, {
    onProgress: (done, total) => progress.push([done, total]),
  });
  expect(progress.length).toBeGreaterThan(2);
  expect(progress.at(-1)?.[0]).toBe(progress.at(-1)?.[1]);
  base = await kernels.openBase(baseFile);
});

afterAll(() => {
  base.close();
  kernels.close();
  rmSync(folder, { recursive: true });
});

describe('kernels', () => {
  it('tells what it runs on', () => {
    expect(kernels.info).toMatchObject({ backend: 'fast', compute: 'f32', threads: 2 });
    expect(() => openKernels({ threads: -1 })).toThrow(/threads is -1/);
    expect(() => openKernels({ backend: 'reference', isa: 'avx2' })).toThrow(/scalar/);
  });

  it('quantizes matrices', () => {
    const values = Float32Array.from({ length: 100 }, (_, i) => i - 50);
    const double = kernels.quantize(values, 4, { format: 'nf4', doubleQuantization: true });
    expect(double.codes).toHaveLength(50);
    expect(double.codes[0]).toBe(0x00); // -50 and -49 of a block whose largest value is 50
    expect(double.absmaxCodes).toHaveLength(2);
    expect(double.nestedAbsmax).toHaveLength(1);
    expect(double.absmax).toBeUndefined();
    const plain = kernels.quantize(values, 4, { format: 'fp4', doubleQuantization: false });
    expect(plain.absmax).toEqual(Float32Array.of(50, 49));
    expect(plain.codes[0]).toBe(0xbb); // code 11 is FP4's -1
    const rows = kernels.quantize(values, 4, { format: 'int8', doubleQuantization: true });
    expect(rows.absmax).toEqual(Float32Array.of(50, 25, 24, 49));
    expect([...new Int8Array(rows.codes.buffer, 0, 3)]).toEqual([-127, -124, -122]);
    expect(() => kernels.quantize(values, 3, { format: 'nf4', doubleQuantization: true })).toThrow(/3 rows/);
    expect(() => kernels.quantize(values, 4, { format: 'bf16', doubleQuantization: true })).toThrow(
      /NF4, FP4/,
    );
  });

  it.each([
    [{ format: 'nf4', doubleQuantization: false }, 0.5625],
    [{ format: 'fp4', doubleQuantization: false }, 0.5625],
    [{ format: 'int8', doubleQuantization: false }, 1.14],
    [{ format: 'bf16', doubleQuantization: false }, 2],
    [{ format: 'f32', doubleQuantization: false }, 4],
  ] as const)('keeps the linear layers as $0.format', async (quantization, bytes) => {
    const file = join(folder, `${quantization.format}.lrb`);
    await kernels.quantizeBase(join(folder, 'model'), file, { quantization });
    const other = await kernels.openBase(file);
    expect(other.info).toMatchObject({ quantization, prequantized: false });
    expect(other.info.bytesPerParameter / bytes).toBeCloseTo(1, 1);
    expect(new Set(other.info.linears.map(({ storage }) => storage))).toEqual(new Set([quantization.format]));
    const batch = packed([9, 14]);
    const rows = [{ adapter: null, begin: 0, end: 23 }];
    expect((await other.evalStep(batch, rows))[0]?.sum).toBeCloseTo(
      (await base.evalStep(batch, rows))[0]?.sum ?? NaN,
      -1,
    );
    other.close();
  });

  it('describes the base', () => {
    expect(base.info).toMatchObject({
      modelType: 'llama',
      layers: 2,
      hidden: 32,
      heads: 4,
      kvHeads: 2,
      headDim: 8,
      vocab: 61,
      tied: false,
    });
    expect(base.info.linears).toHaveLength(14);
    expect(base.info.linears[1]).toEqual({
      name: 'model.layers.0.self_attn.k_proj',
      in: 32,
      out: 16,
      bias: false,
      storage: 'nf4',
    });
    expect(base.info.fileBytes).toBe(statSync(baseFile).size);
  });
});

describe('training', () => {
  it('lowers the loss, and goes on bit-exactly from an exported state', async () => {
    const batch = packed([9, 14]);
    const adapter = newAdapter(0.1);
    const step = async (target: Adapter, number: number): Promise<number> => {
      const rows = [{ adapter: target, begin: 0, end: 23, lossScale: 1 / 21, dropoutSeed: BigInt(number) }];
      const [loss] = await base.trainStep(batch, rows);
      expect(loss?.tokens).toBe(21);
      const { gradNorm, applied } = await target.optimizerStep(settings);
      expect(applied).toBe(true);
      expect(gradNorm).toBeGreaterThan(0);
      return (loss?.sum ?? NaN) / 21;
    };
    const losses: number[] = [];
    for (let i = 0; i < 15; i += 1) losses.push(await step(adapter, i));
    expect(losses.at(-1)).toBeLessThan((losses[0] as number) * 0.5);

    const state = adapter.exportState();
    const resumed = newAdapter(0.1);
    resumed.importState(state);
    await step(adapter, 15);
    await step(resumed, 15);
    expect(Buffer.from(resumed.exportState())).toEqual(Buffer.from(adapter.exportState()));
    const used = new Uint8Array(state.length);
    expect(adapter.exportState(used)).toBe(used);
    expect(Buffer.from(used)).toEqual(Buffer.from(adapter.exportState(new Uint8Array(1))));
    expect(resumed.read(1)).toEqual(adapter.read(1));

    state[state.length - 9] = (state[state.length - 9] as number) ^ 1;
    expect(() => resumed.importState(state)).toThrow(/damaged/);
    adapter.close();
    resumed.close();
  });

  it('evaluates rows of several adapters and of the bare base in one batch', async () => {
    const batch = packed([5, 6, 7]);
    const adapter = newAdapter();
    adapter.write(1, adapter.read(1).fill(0.5));
    const losses = await base.evalStep(batch, [
      { adapter: null, begin: 0, end: 5 },
      { adapter, begin: 5, end: 11 },
      { adapter: null, begin: 11, end: 18 },
    ]);
    const bare = await base.evalStep(batch, [{ adapter: null, begin: 0, end: 18 }]);
    expect(losses.map(({ tokens }) => tokens)).toEqual([4, 5, 6]);
    const sum = losses.reduce((total, { sum: part }) => total + part, 0);
    expect(Math.abs(sum - (bare[0]?.sum ?? NaN))).toBeGreaterThan(1e-3);
    adapter.close();
  });

  it('refuses an update from a gradient that is not finite', async () => {
    const adapter = newAdapter();
    adapter.write(0, adapter.read(0).fill(NaN));
    const batch = packed([6]);
    const [loss] = await base.trainStep(batch, [{ adapter, begin: 0, end: 6 }]);
    expect(loss?.sum).toBeNaN();
    expect(await adapter.optimizerStep(settings)).toEqual({ gradNorm: NaN, applied: false });
    expect(adapter.read(1, 'gradient').every((g) => g === 0)).toBe(true);
    adapter.close();
  });

  it('stops when the signal aborts, before or during the step', async () => {
    // The reference backend is slow enough for the signal to come while a layer computes.
    const slow = openKernels({ backend: 'reference', threads: 1 });
    const slowBase = await slow.openBase(baseFile);
    const batch = packed(Array.from({ length: 40 }, () => 60));
    const rows = [{ adapter: null, begin: 0, end: 2400 }];
    expect((await rejection(slowBase.trainStep(batch, rows, { signal: AbortSignal.abort() }))).status).toBe(
      'cancelled',
    );
    const controller = new AbortController();
    const running = slowBase.trainStep(batch, rows, { signal: controller.signal });
    setImmediate(() => controller.abort());
    expect((await rejection(running)).status).toBe('cancelled');
    slowBase.close();
    slow.close();
  });
});

describe('generation', () => {
  it('gives the logits of the full forward pass, and draws reproducibly', async () => {
    const { tokens, targets } = packed([12]);
    const session = base.openSession({ capacity: 20 });
    await session.append(tokens.slice(0, 7));
    for (let t = 7; t < 12; t += 1) await session.append(tokens.slice(t, t + 1));
    expect(session.length).toBe(12);
    const logits = session.logits();
    const full = await base.logits({ tokens, targets, starts: Int32Array.of(0, 12) }, [
      { adapter: null, begin: 0, end: 12 },
    ]);
    const last = full.slice(11 * tinyConfig.vocab_size);
    logits.forEach((logit, i) => expect(logit).toBeCloseTo(last[i] as number, 3));

    const greedy = session.sample({ temperature: 0, topP: 1, topK: 0, seed: 0n });
    expect(greedy).toBe(logits.indexOf(Math.max(...logits)));
    const draw = (seed: bigint): number => session.sample({ temperature: 1.5, topP: 0.95, topK: 30, seed });
    expect(draw(3n)).toBe(draw(3n));
    expect(new Set(Array.from({ length: 40 }, (_, seed) => draw(BigInt(seed)))).size).toBeGreaterThan(3);
    session.close();
  });
});

describe('errors', () => {
  it('name what was wrong', async () => {
    const batch = packed([6]);
    const rows = [{ adapter: null, begin: 0, end: 6 }];
    const bad = { ...batch, tokens: Int32Array.of(1, 2, 61, 3, 4, 5) };
    expect((await rejection(base.evalStep(bad, rows))).message).toMatch(/tokens\[2\] is 61/);
    expect((await rejection(base.evalStep(batch, [{ adapter: null, begin: 0, end: 5 }]))).message).toMatch(
      /no sequence starts/,
    );
    expect((await rejection(base.evalStep(batch, []))).status).toBe('invalid_argument');
    expect((await rejection(base.evalStep({ ...batch, targets: Int32Array.of(1) }, rows))).message).toMatch(
      /6 tokens but 1 targets/,
    );
    const target = (name: string, rank: number) => () =>
      base.createAdapter({ targets: [{ name, rank, scale: 1 }], dropout: 0, seed: 0n });
    expect(target('model.layers.0.mlp.up_prj', 4)).toThrow(/near to it: model\.layers\.0\.mlp\.up_proj/);
    expect(target('model.layers.0.mlp.up_proj', 0)).toThrow(/rank 0/);
  });

  it('tell missing, damaged and unsupported files apart', async () => {
    expect((await rejection(kernels.openBase(join(folder, 'none')))).status).toBe('io_error');
    const damaged = join(folder, 'damaged.lrb');
    await kernels.quantizeBase(join(folder, 'model'), damaged);
    truncateSync(damaged, statSync(damaged).size - 1);
    expect((await rejection(kernels.openBase(damaged))).status).toBe('bad_format');

    const other = writeTinyModel(join(folder, 'other'));
    writeFileSync(join(other, 'config.json'), JSON.stringify({ ...tinyConfig, model_type: 'mamba' }));
    const error = await rejection(kernels.quantizeBase(other, join(folder, 'other.lrb')));
    expect(error.status).toBe('unsupported_model');
    expect(error.message).toMatch(/mamba.*llama, mistral, qwen2/);
  });

  it('come out of a progress callback', async () => {
    const onProgress = (done: number): void => {
      if (done > 0) throw new RangeError('no more');
    };
    const file = join(folder, 'progress.lrb');
    await expect(kernels.quantizeBase(join(folder, 'model'), file, { onProgress })).rejects.toThrow(
      RangeError,
    );
    expect(existsSync(file)).toBe(false);
  });

  it('refuse a handle that is closed or in use', async () => {
    const adapter = newAdapter();
    const batch = packed([20]);
    const running = base.trainStep(batch, [{ adapter, begin: 0, end: 20 }]);
    expect(() => adapter.read(0)).toThrow(/in use/);
    adapter.close(); // takes effect when the step has ended
    await running;
    expect(() => adapter.read(0)).toThrow(/closed/);
    expect((await rejection(adapter.optimizerStep(settings))).message).toMatch(/closed/);
  });

  it('free what is closed', () => {
    const before = kernels.memory().currentBytes;
    const adapter = newAdapter();
    expect(kernels.memory().currentBytes).toBeGreaterThan(before);
    const session = base.openSession({ adapter, capacity: 8 });
    adapter.close(); // the session still needs it
    expect(kernels.memory().currentBytes).toBeGreaterThan(before);
    session.close();
    expect(kernels.memory(true).currentBytes).toBe(before);
    expect(kernels.memory().peakBytes).toBe(before);
  });
});
