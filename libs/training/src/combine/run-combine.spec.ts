import { combinationParity, combineMethodSchema, type CombineSettings } from '@lowrank/contracts';
import { codeOf, makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelKey } from '../caches';
import { runTraining } from '../run';
import { runCombine, type RunCombineOptions } from './run-combine';

const recipe = makeRecipe({
  lora: { rank: 4 },
  training: { steps: 6, sequenceLength: 64, rows: 2, compute: 'f32' },
  optimizer: { learningRate: 0.02 },
  evaluation: { fraction: 0.1 },
});

describe('runCombine', () => {
  let root: string;
  let common: Omit<RunCombineOptions, 'settings' | 'thresholds' | 'into' | 'parents'>;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'lowrank-combined-'));
    const dir = join(root, 'model');
    await writeTinyModel(dir);
    const text = tinyDataset(40);
    await writeFile(join(root, 'data.jsonl'), text);
    common = {
      ...{ adapter: 'both', recipe, isValidation: false, threads: 1, maxLineBytes: 1 << 20 },
      base: { key: modelKey([]), dir, source: 'tiny', revision: 'r1', fetchWeights: () => Promise.resolve() },
      dataset: {
        ...{ file: join(root, 'data.jsonl'), format: 'chat' },
        sha256: createHash('sha256').update(text).digest('hex'),
      },
      cacheDir: join(root, 'cache'),
      signal: new AbortController().signal,
    };
    await train('first', 1);
    await train('second', 2);
  }, 60_000);
  afterAll(() => rm(root, { recursive: true }));

  async function train(name: string, seed: number): Promise<void> {
    const { files } = await runTraining({
      ...common,
      recipe: { ...recipe, training: { ...recipe.training, seed } },
      checkpointsDir: join(root, 'checkpoints', name),
      ...{ onPlan: () => undefined, onMetric: () => undefined, onCheckpoint: () => undefined },
      onMessage: () => undefined,
    });
    await mkdir(join(root, name));
    for (const { path, bytes } of files) await writeFile(join(root, name, path), bytes);
  }

  const run = (settings: Partial<CombineSettings>, changes: Partial<RunCombineOptions> = {}) => {
    const { method = 'cat' } = settings;
    return runCombine({
      ...common,
      parents: ['first', 'second'].map((name) => ({ name, folder: join(root, name) })),
      settings: {
        ...{ method, weights: [0.7, 0.4], rank: null, density: 0.5, majoritySign: 'total', seed: 0 },
        ...settings,
      },
      thresholds: combinationParity[method].thresholds,
      into: join(root, 'into'),
      ...changes,
    });
  };

  it.each(combineMethodSchema.options)('certifies that %s answers as it should', async (method) => {
    // The sum of two adapters of rank 4 has rank 8: svd leaves out nothing then.
    const { certificate, files } = await run({ method, rank: 8 });
    const { reference, thresholds } = combinationParity[method];
    expect(certificate).toMatchObject({ passed: true, reference, thresholds });
    expect(certificate.tokens).toBeGreaterThan(certificate.rows);
    if (reference === 'sum') {
      expect(certificate.sum).toBeNull();
      // It was computed in another way, or would be no certificate.
      expect(certificate.klMax).toBeGreaterThan(0);
    } else expect(certificate.sum?.klMean).toBeGreaterThan(certificate.klMean);
    const card = files.find(({ path }) => path === 'README.md')?.bytes.toString();
    expect(card).toContain(
      `the likeliest token is the same in ${(100 * certificate.agreement).toFixed(2)} %`,
    );
  });

  it('finds out that svd has left out too much, and says so', async () => {
    const rough = { method: 'svd', rank: 1 } as const;
    const lenient = await run(rough, { thresholds: { klMean: 100, agreement: 0 } });
    const exact = await run({ method: 'svd', rank: 8 });
    expect(lenient.certificate.klMean).toBeGreaterThan(10 * exact.certificate.klMean);
    const strict = { thresholds: combinationParity.cat.thresholds };
    expect(await codeOf(run(rough, strict))).toBe('parity_failed');
    await expect(run(rough, strict)).rejects.toThrow(
      /does not answer as the adapters do together with their weights: over \d+ rows .* allowed are 0.0001;/,
    );
  });

  it('compares and measures on all rows of a validation dataset', async () => {
    const [part, whole] = [await run({}), await run({}, { isValidation: true })];
    expect(part.certificate).toMatchObject({ rows: 4, rowsFrom: 'held-out' });
    expect(whole.certificate).toMatchObject({ rows: 32, rowsFrom: 'validation' });
    expect(whole.metrics.evalLossBefore).not.toBe(part.metrics.evalLossBefore);
  });
});
