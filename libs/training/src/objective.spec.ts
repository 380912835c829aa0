import { recipeSchema, type DatasetFormat, type JobMetric, type RecipeInput } from '@lowrank/contracts';
import { tinyDataset, tinyPreferences, writeTinyModel } from '@lowrank/testing';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256 } from './files';
import { ADAPTER_WEIGHTS } from './peft-config';
import { runTraining } from './run';
import { TrainingStopped, type RunOptions } from './run-options';

let root: string;
const data: Partial<Record<DatasetFormat, string>> = {
  chat: tinyDataset(24),
  preference: tinyPreferences(40),
};

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-objective-'));
  await writeTinyModel(join(root, 'model'));
  for (const [format, text] of Object.entries(data)) await writeFile(join(root, format), text);
});
afterAll(() => rm(root, { recursive: true }));

interface Run {
  metrics: JobMetric[];
  weights: string;
  card: string;
}

/** Trains a tiny model. `stopAt`: drained after that step, then gone on with. */
async function run(
  name: string,
  recipe: RecipeInput,
  changes: Partial<RunOptions> = {},
  stopAt?: number,
): Promise<Run> {
  const format: DatasetFormat = (recipe.objective?.type ?? 'sft') === 'sft' ? 'chat' : 'preference';
  const checkpointsDir = join(root, name, 'checkpoints');
  await mkdir(checkpointsDir, { recursive: true });
  const metrics: JobMetric[] = [];
  const controller = new AbortController();
  const options: RunOptions = {
    recipe: recipeSchema.parse(recipe),
    adapter: 'tiny',
    base: {
      source: 'tiny',
      revision: 'a'.repeat(40),
      key: 'tiny',
      dir: join(root, 'model'),
      fetchWeights: () => Promise.resolve(),
    },
    dataset: { file: join(root, format), sha256: sha256(data[format] ?? ''), format },
    maxLineBytes: 1e6,
    cacheDir: join(root, 'cache'),
    checkpointsDir,
    threads: 1,
    signal: controller.signal,
    onMessage: () => undefined,
    onPlan: () => undefined,
    onMetric: (metric) => {
      metrics.push(metric);
      if (metric.step === stopAt && metric.kind === 'train') controller.abort('drain');
    },
    onCheckpoint: () => undefined,
    ...changes,
  };
  if (stopAt !== undefined) {
    await expect(runTraining(options)).rejects.toBeInstanceOf(TrainingStopped);
    return run(name, recipe, changes);
  }
  const { files } = await runTraining(options);
  const bytes = (path: string) => files.find((file) => file.path === path)?.bytes ?? new Uint8Array();
  return {
    metrics,
    weights: sha256(bytes(ADAPTER_WEIGHTS)),
    card: Buffer.from(bytes('README.md')).toString('utf8'),
  };
}

const recipeOf = (
  objective: RecipeInput['objective'],
  training: RecipeInput['training'] = {},
): RecipeInput => ({
  objective,
  lora: { rank: 4, dropout: 0.1 },
  training: {
    steps: 24,
    sequenceLength: 96,
    rows: 2,
    compute: 'f32',
    checkpointActivations: false,
    ...training,
  },
  optimizer: { learningRate: 0.01 },
  evaluation: { fraction: 0.2 },
  checkpoints: { everySteps: 4 },
});
const evaluations = ({ metrics }: Run) => metrics.filter(({ kind }) => kind === 'eval');

describe('DPO', () => {
  it('ranks held-out answers better than the base, from a reference that is kept', async () => {
    const trained = await run('dpo', recipeOf({ type: 'dpo', beta: 0.5 }));
    const [before, after] = evaluations(trained) as [JobMetric, JobMetric];
    expect(before).toMatchObject({ accuracy: 0, rewardMargin: 0 }); // the base beside itself
    expect(before.loss).toBeCloseTo(Math.log(2), 6);
    expect(after.loss).toBeLessThan(0.3);
    expect(after.accuracy).toBe(1);
    expect(after.rewardMargin).toBeGreaterThan(1);
    const steps = trained.metrics.filter(({ kind }) => kind === 'train');
    expect(steps.at(-1)?.accuracy).toBe(1);
    expect(steps.at(-1)?.rewardMargin).toBeGreaterThan(steps[0]?.rewardMargin as number);
    expect(trained.card).toContain('held-out loss (DPO, a pair)');

    const folder = join(root, 'cache', 'reference');
    const kept = await readdir(folder);
    expect(kept).toHaveLength(2); // of the rows trained on, and of those held out
    const written = await stat(join(folder, kept[0] as string));
    const stopped = await run('dpo-stopped', recipeOf({ type: 'dpo', beta: 0.5 }), { threads: 2 }, 7);
    expect(stopped.weights).toBe(trained.weights);
    expect((await stat(join(folder, kept[0] as string))).mtimeMs).toBe(written.mtimeMs);
  }, 60_000);
});

describe('ORPO', () => {
  it('ranks held-out answers better, without a reference, and lowers its loss', async () => {
    const trained = await run(
      'orpo',
      recipeOf({ type: 'orpo', lambda: 0.5 }, { checkpointActivations: true }),
    );
    const [before, after] = evaluations(trained) as [JobMetric, JobMetric];
    expect(after.loss).toBeLessThan(before.loss * 0.6);
    expect(after.accuracy).toBe(1);
    expect(after.rewardMargin).toBeGreaterThan(before.rewardMargin as number);
  }, 60_000);
});

describe('next-token loss', () => {
  it('is smoothed while training only, and noise repeats on resume', async () => {
    const plain = await run('plain', recipeOf({ type: 'sft' }));
    const smoothed = await run('smoothed', recipeOf({ type: 'sft' }, { labelSmoothing: 0.2 }));
    const noisy = await run('noisy', recipeOf({ type: 'sft' }, { neftuneAlpha: 5 }));
    const again = await run('noisy-again', recipeOf({ type: 'sft' }, { neftuneAlpha: 5 }), {}, 6);
    expect(again.weights).toBe(noisy.weights);
    expect(new Set([plain, smoothed, noisy].map(({ weights }) => weights)).size).toBe(3);
    expect(evaluations(smoothed)[0]?.loss).toBe(evaluations(plain)[0]?.loss);
    expect(smoothed.metrics[1]?.loss).not.toBe(plain.metrics[1]?.loss);
    for (const { metrics } of [plain, smoothed, noisy])
      expect(metrics.filter(({ kind }) => kind === 'eval').at(-1)?.loss).toBeLessThan(
        metrics[0]?.loss as number,
      );
    expect(plain.metrics.every(({ rewardMargin }) => rewardMargin === null)).toBe(true);
  }, 60_000);
});
