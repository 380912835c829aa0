import { type JobMetric, type RecipeInput } from '@lowrank/contracts';
import { publishedLora } from '@lowrank/domain';
import { makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelKey, openQuantizedBase } from './caches';
import { openDevice } from './device';
import { sha256 } from './files';
import { adapterWeights, loadWeights } from './peft';
import { ADAPTER_WEIGHTS } from './peft-config';
import { runTraining } from './run';
import { type RunOptions, TrainingStopped } from './run-options';
import { adapterSpec } from './targets';

const small: RecipeInput = {
  training: { steps: 4, sequenceLength: 64, rows: 2, compute: 'f32' },
  optimizer: { learningRate: 0.01 },
  evaluation: { fraction: 0.1 },
  checkpoints: { everySteps: 2 },
};

let root: string;
let dataset: RunOptions['dataset'];
const at = (name: string): string => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-continued-'));
  await writeTinyModel(at('model'));
  const data = tinyDataset(40);
  await writeFile(at('data.jsonl'), data);
  dataset = { file: at('data.jsonl'), sha256: sha256(data), format: 'chat' };
});
afterAll(() => rm(root, { recursive: true }));

/** Runs a job under a name, and leaves what it makes in a folder of that name. */
async function run(name: string, changes: Partial<RunOptions>) {
  const metrics: JobMetric[] = [];
  const trained = await runTraining({
    recipe: makeRecipe(small),
    adapter: 'sums',
    base: {
      ...{ source: 'tiny', revision: 'r1', key: modelKey([]), dir: at('model') },
      fetchWeights: () => Promise.resolve(),
    },
    dataset,
    maxLineBytes: 1 << 20,
    cacheDir: at('cache'),
    checkpointsDir: at(`jobs/${name}`),
    threads: 1,
    signal: new AbortController().signal,
    onMessage: () => undefined,
    onPlan: () => undefined,
    onMetric: (metric) => metrics.push(metric),
    onCheckpoint: () => undefined,
    ...changes,
  });
  await mkdir(at(name), { recursive: true });
  for (const { path, bytes } of trained.files) await writeFile(join(at(name), path), bytes);
  return { metrics, trained };
}
const weightsOf = (name: string): Promise<Buffer> => readFile(join(at(name), ADAPTER_WEIGHTS));

it.each<[string, RecipeInput['lora']]>([
  ['lora', { rank: 4, dropout: 0.1, rankPattern: { q_proj: 2 } }],
  ['floats', { rank: 4, dtype: 'f32' }],
  ['dora', { rank: 4, dora: true, rsLora: true }],
  ['pissa', { rank: 4, init: 'pissa' }],
])('%s: goes on from the weights of a version, bit for bit', async (name, lora) => {
  const recipe = makeRecipe({ ...small, lora });
  const { trained } = await run(name, { recipe });
  const published = await weightsOf(name);
  const next = makeRecipe({ ...small, lora: publishedLora(recipe) });

  const kernels = openDevice({ threads: 1, compute: 'f32' });
  const stored = { key: modelKey([]), storage: recipe.base, cacheDir: at('cache') };
  const base = await openQuantizedBase(kernels, () => Promise.resolve(at('model')), stored, {});
  const adapter = base.createAdapter(adapterSpec(base.info.linears, next));
  await loadWeights(adapter, at(name));
  expect(adapterWeights(adapter, next.lora.dtype).equals(published)).toBe(true);
  adapter.close();
  base.close();
  kernels.close();

  const initFrom = { name, key: name, dir: at(name) };
  const { metrics, trained: continued } = await run(`${name}-next`, { recipe: next, initFrom });
  // The rows held out are the same ones, so the loss before the first step is that of the version.
  expect(metrics[0]).toMatchObject({ kind: 'eval', step: 0 });
  if (name !== 'pissa') expect(metrics[0]?.loss).toBe(trained.metrics.evalLossAfter);
  // What PiSSA takes away is floats while it trains, and rounded when it is published.
  else expect(metrics[0]?.loss).toBeCloseTo(trained.metrics.evalLossAfter as number, 2);
  expect(continued.metrics).toMatchObject({ steps: 4, evalLossBefore: metrics[0]?.loss });
  expect((await weightsOf(`${name}-next`)).equals(published)).toBe(false);
  const card = await readFile(join(at(`${name}-next`), 'README.md'), 'utf8');
  expect(card).toContain(`starting from the weights of ${name}`);
});

it('gives the same bytes when it is stopped on the way, and others from another version', async () => {
  const first = makeRecipe({ ...small, lora: { rank: 4 } });
  await run('a', { recipe: first });
  await run('b', { recipe: { ...first, training: { ...first.training, seed: 7 } } });
  const from = (name: string) => ({ recipe: first, initFrom: { name, key: name, dir: at(name) } });
  await run('whole', from('a'));
  const stop = new AbortController();
  const onMetric = ({ kind, step }: JobMetric) => kind === 'train' && step === 3 && stop.abort('drain');
  await expect(run('halves', { ...from('a'), signal: stop.signal, onMetric })).rejects.toThrow(
    TrainingStopped,
  );
  const plans: number[] = [];
  await run('halves', { ...from('a'), onPlan: (_steps, resumed) => plans.push(resumed) });
  expect(plans[0]).toBeGreaterThan(0);
  expect((await weightsOf('halves')).equals(await weightsOf('whole'))).toBe(true);

  // A checkpoint of a run that started from another version is none of this one's.
  await run('halves', { ...from('b'), onPlan: (_steps, resumed) => plans.push(resumed) });
  expect(plans.at(-1)).toBe(0);
  expect((await weightsOf('halves')).equals(await weightsOf('whole'))).toBe(false);
});

it('refuses weights of another shape', async () => {
  await run('narrow', { recipe: makeRecipe({ ...small, lora: { rank: 2 } }) });
  const wide = { recipe: makeRecipe({ ...small, lora: { rank: 4 } }) };
  const initFrom = { name: 'narrow', key: 'narrow', dir: at('narrow') };
  await expect(run('wide', { ...wide, initFrom })).rejects.toMatchObject({
    code: 'validation_failed',
    message: expect.stringMatching(/lora_A\.weight has shape \[2,/),
  });
});
