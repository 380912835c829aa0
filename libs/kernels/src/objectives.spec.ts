import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tinyConfig, writeTinyModel } from '../test/tiny-model';
import { openKernels } from './index';
import type { Adapter, Base, Kernels, PackedBatch, Preference } from './types';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-objectives-'));
let kernels: Kernels;
let base: Base;
let adapter: Adapter;

// Two pairs: each answer of its own tokens after the same prompt of four.
const lengths = [12, 10, 11, 13];
const starts = Int32Array.from([0, 12, 22, 33, 46]);
const total = 46;
const tokens = Int32Array.from({ length: total }, (_, t) => (t * 7 + 3) % tinyConfig.vocab_size);
const targets = Int32Array.from({ length: total }, (_, t) => {
  const begin = starts.findLast((start) => start <= t) as number;
  return t - begin < 4 || starts.includes(t + 1) ? -100 : (tokens[t + 1] as number);
});
const batch: PackedBatch = { tokens, targets, starts };
const bare = [{ adapter: null, begin: 0, end: total }];

beforeAll(async () => {
  kernels = openKernels({ threads: 2 });
  await kernels.quantizeBase(writeTinyModel(join(folder, 'model')), join(folder, 'base.lrb'));
  base = await kernels.openBase(join(folder, 'base.lrb'));
  const linears = base.info.linears.map(({ name }) => ({ name, rank: 4, scale: 2 }));
  adapter = base.createAdapter({ targets: linears, dropout: 0, seed: 42n });
});
afterAll(() => {
  adapter.close();
  base.close();
  kernels.close();
  rmSync(folder, { recursive: true });
});

const rows = (extra = {}) => [{ adapter, begin: 0, end: total, lossScale: 0.5, ...extra }];
const settings = {
  learningRate: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
};

describe('preferences', () => {
  it('agree with the log-probabilities of their sequences', async () => {
    const logps = await base.sequenceLogps(batch, bare);
    expect(logps).toHaveLength(lengths.length);
    const [loss] = await base.evalStep(batch, bare);
    expect(-logps.reduce((sum, one) => sum + one, 0)).toBeCloseTo(loss?.sum as number, 6);
    const [dpo] = await base.preferenceEval(batch, bare, [
      { objective: 'dpo', beta: 0.1, reference: new Float64Array(4) },
    ]);
    expect(dpo?.pairs).toBe(2);
    expect(dpo?.chosenReward).toBeCloseTo(0.1 * ((logps[0] as number) + (logps[2] as number)), 6);
    expect(dpo?.rejectedReward).toBeCloseTo(0.1 * ((logps[1] as number) + (logps[3] as number)), 6);
    expect(dpo?.chosenNll).toBeCloseTo(-(logps[0] as number) - (logps[2] as number), 6);
    expect(dpo?.chosenTokens).toBe(12 - 5 + 11 - 5);
  });

  it.each<[string, () => Promise<Preference>]>([
    ['DPO', async () => ({ objective: 'dpo', beta: 0.5, reference: await base.sequenceLogps(batch, bare) })],
    ['ORPO', async () => ({ objective: 'orpo', lambda: 1 })],
  ])('lower the loss of %s, and the rejected answers rank lower', async (_title, of) => {
    const preference = await of();
    const [before] = await base.preferenceEval(batch, rows(), [preference]);
    for (let step = 0; step < 12; step += 1) {
      await base.preferenceStep(batch, rows(), [preference], { checkpointActivations: step % 2 === 0 });
      expect((await adapter.optimizerStep(settings)).applied).toBe(true);
    }
    const [after] = await base.preferenceEval(batch, rows(), [preference]);
    expect(after?.sum).toBeLessThan((before?.sum as number) * 0.6);
    expect(after?.correct).toBe(2);
  });

  it('need one preference a row, and a reference a sequence', async () => {
    const orpo: Preference = { objective: 'orpo', lambda: 1 };
    await expect(base.preferenceStep(batch, rows(), [orpo, orpo])).rejects.toThrow(
      /1 rows but 2 preferences/,
    );
    const dpo: Preference = { objective: 'dpo', beta: 1, reference: new Float64Array(3) };
    await expect(base.preferenceEval(batch, rows(), [dpo])).rejects.toThrow(/4 sequences but 3 references/);
    const odd = { tokens, targets, starts: Int32Array.from([0, 12, 22, total]) };
    await expect(base.preferenceEval(odd, rows(), [orpo])).rejects.toThrow(/needs pairs/);
  });
});

it('smooths labels and adds noise in training only', async () => {
  const loss = async (extra: object) => (await base.trainStep(batch, rows(extra)))[0]?.sum as number;
  const plain = await loss({});
  expect(await loss({ labelSmoothing: 0.1 })).not.toBe(plain);
  const noisy = await loss({ neftuneAlpha: 5, dropoutSeed: 1n });
  expect(noisy).not.toBe(plain);
  expect(await loss({ neftuneAlpha: 5, dropoutSeed: 1n })).toBe(noisy);
  const [evaluated] = await base.evalStep(batch, rows({ labelSmoothing: 0.1, neftuneAlpha: 5 }));
  expect(evaluated?.sum).toBeCloseTo(plain, 4);
  adapter.zeroGradients();
});
