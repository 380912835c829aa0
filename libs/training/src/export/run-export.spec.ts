import {
  exportFormatSchema,
  parityThresholds,
  type ExportFormat,
  type RecipeInput,
} from '@lowrank/contracts';
import { codeOf, makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelKey } from '../caches';
import { runTraining } from '../run';
import { runExport, type ExportOptions } from './run-export';

const small: RecipeInput = {
  lora: { rank: 4 },
  training: { steps: 6, sequenceLength: 64, rows: 2, compute: 'f32' },
  optimizer: { learningRate: 0.02 },
  evaluation: { fraction: 0.1 },
};

describe('runExport', () => {
  let root: string;
  let options: Omit<ExportOptions, 'format' | 'adapterDir' | 'thresholds' | 'workDir'>;
  const signal = new AbortController().signal;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'lowrank-export-'));
    await writeTinyModel(join(root, 'model'));
    const text = tinyDataset(40);
    await writeFile(join(root, 'data.jsonl'), text);
    const sha256 = createHash('sha256').update(text).digest('hex');
    options = {
      name: 'sums-v1',
      base: { key: modelKey([]), dir: join(root, 'model'), source: 'tiny' },
      dataset: { file: join(root, 'data.jsonl'), sha256, format: 'chat' },
      recipe: makeRecipe(small),
      isValidation: false,
      maxLineBytes: 1 << 20,
      cacheDir: join(root, 'cache'),
      threads: 1,
      signal,
      onMessage: () => undefined,
    };
    await train('plain', {});
    await train('dora', { dora: true });
  }, 60_000);
  afterAll(() => rm(root, { recursive: true }));

  async function train(name: string, lora: RecipeInput['lora']): Promise<void> {
    const trained = await runTraining({
      ...options,
      recipe: makeRecipe({ ...small, lora: { ...small.lora, ...lora } }),
      adapter: 'sums',
      base: { ...options.base, revision: 'r1', fetchWeights: () => Promise.resolve() },
      checkpointsDir: join(root, 'checkpoints', name),
      ...{ onPlan: () => undefined, onMetric: () => undefined, onCheckpoint: () => undefined },
    });
    await mkdir(join(root, name));
    for (const { path, bytes } of trained.files) await writeFile(join(root, name, path), bytes);
  }

  const run = (format: ExportFormat, changes: Partial<ExportOptions> = {}) =>
    runExport({
      ...options,
      format,
      adapterDir: join(root, 'plain'),
      thresholds: parityThresholds[format],
      workDir: join(root, 'work'),
      ...changes,
    });

  it.each(exportFormatSchema.options)('writes %s, which answers as the adapter does', async (format) => {
    const seen: [number, number][] = [];
    const { folder, paths, certificate } = await run(format, {
      onProgress: (done, total) => seen.push([done, total]),
    });
    expect(certificate).toMatchObject({
      ...{ passed: true, rowsFrom: 'held-out' },
      thresholds: parityThresholds[format],
    });
    expect(certificate.tokens).toBeGreaterThan(certificate.rows);
    // Comparing something with itself would be no certificate.
    if (format !== 'gguf-adapter') expect(certificate.klMax).toBeGreaterThan(0);
    expect(paths).toEqual(
      format === 'merged'
        ? [
            'config.json',
            'generation_config.json',
            'model.safetensors',
            'tokenizer.json',
            'tokenizer_config.json',
          ]
        : ['Modelfile', 'sums-v1.gguf'],
    );
    for (const path of paths) expect((await stat(join(folder, path))).size).toBeGreaterThan(0);
    expect(seen.at(-1)).toEqual([seen.length, seen.length]);
  });

  it.each([
    ['training', { recipe: makeRecipe({ ...small, evaluation: { fraction: 0 } }) }, 32],
    ['validation', { isValidation: true }, 32],
  ])('says that it was compared on rows of %s', async (rowsFrom, changes, rows) => {
    expect((await run('gguf-adapter', changes)).certificate).toMatchObject({ rowsFrom, rows });
  });

  it('finds out that something else answers', async () => {
    const strict = { thresholds: { klMean: 0, agreement: 1 } };
    const refused = run('gguf-q8_0', strict);
    await expect(refused).rejects.toThrow(/divergence is \S+ nats on average, at most \S+, allowed are 0;/);
    expect(await codeOf(run('gguf-q8_0', strict))).toBe('parity_failed');
  });

  it('merges DoRA, and refuses it where there is no place for it', async () => {
    const adapterDir = join(root, 'dora');
    expect((await run('merged', { adapterDir })).certificate.passed).toBe(true);
    expect(await codeOf(run('gguf-adapter', { adapterDir }))).toBe('export_unsupported');
  });

  it('stops, with the reason that it was given', async () => {
    const stop = new AbortController();
    const reason = run('merged', { signal: stop.signal, onProgress: () => stop.abort('drain') });
    await expect(reason).rejects.toBe('drain');
  });

  it('gives the same bytes each time', async () => {
    const hashOf = async (): Promise<string> => {
      const { folder } = await run('gguf-q8_0');
      return createHash('sha256')
        .update(await readFile(join(folder, 'sums-v1.gguf')))
        .digest('hex');
    };
    expect(await hashOf()).toBe(await hashOf());
  });
});
