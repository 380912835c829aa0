import { type JobMetric } from '@lowrank/contracts';
import { splitRows } from '@lowrank/domain';
import { makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelKey } from './caches';
import { sha256 } from './files';
import { runTraining } from './run';
import { type RunOptions } from './run-options';

const recipe = makeRecipe({
  lora: { rank: 4, dropout: 0.1 },
  training: { steps: 5, sequenceLength: 64, rows: 2, compute: 'f32' },
  optimizer: { learningRate: 0.01 },
  evaluation: { fraction: 0.1, everySteps: 3 },
});

let root: string;
const at = (name: string): string => join(root, name);
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-validated-'));
  await writeTinyModel(at('model'));
});
afterAll(() => rm(root, { recursive: true }));

async function fileOf(name: string, lines: (string | undefined)[]): Promise<RunOptions['dataset']> {
  const text = `${lines.join('\n')}\n`;
  await writeFile(at(name), text);
  return { file: at(name), sha256: sha256(text), format: 'chat' };
}

async function run(name: string, data: Pick<RunOptions, 'dataset' | 'validationDataset'>) {
  const metrics: JobMetric[] = [];
  const { files, metrics: published } = await runTraining({
    ...{ recipe, adapter: 'sums', ...data },
    base: {
      ...{ source: 'tiny', revision: 'r1', key: modelKey([]), dir: at('model') },
      fetchWeights: () => Promise.resolve(),
    },
    maxLineBytes: 1 << 20,
    cacheDir: at('cache'),
    checkpointsDir: at(`jobs/${name}`),
    threads: 1,
    signal: new AbortController().signal,
    onMessage: () => undefined,
    onPlan: () => undefined,
    onMetric: (metric) => metrics.push(metric),
    onCheckpoint: () => undefined,
  });
  return {
    trace: metrics.map(({ kind, step, loss, accuracy }) => [kind, step, loss, accuracy]),
    published: { ...published, seconds: 0, peakMemoryBytes: 0 },
    // The card names the dataset.
    files: files.flatMap(({ path, bytes }) => (path === 'README.md' ? [] : [[path, sha256(bytes)]])),
  };
}

it('gives the same when the rows held out come as a dataset to evaluate on', async () => {
  const lines = tinyDataset(40).trimEnd().split('\n');
  const parts = splitRows(lines.length, recipe.evaluation.fraction, recipe.training.seed);
  const of = (rows: number[]) => rows.map((row) => lines[row]);
  const heldOut = await run('held-out', { dataset: await fileOf('all.jsonl', lines) });
  const validated = await run('validated', {
    dataset: await fileOf('own.jsonl', of(parts.train)),
    validationDataset: await fileOf('validation.jsonl', of(parts.held)),
  });
  expect(validated.trace.filter(([kind]) => kind === 'eval').length).toBeGreaterThan(1);
  expect(validated).toEqual(heldOut);
});
