import { type JobMetric, type RecipeInput } from '@lowrank/contracts';
import { makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelKey } from './caches';
import { runTraining } from './run';
import { TrainingStopped, type StopReason } from './run-options';
import { SharedBases } from './shared-bases';

/** Four jobs that differ in everything that co-trained jobs may differ in. */
const recipes = {
  plain: {},
  high: { lora: { rank: 8, dropout: 0.2 }, training: { rows: 1, steps: 9, neftuneAlpha: 5 } },
  short: { lora: { rank: 2, targets: ['q_proj'] }, training: { steps: 3, accumulation: 1, seed: 7 } },
  dora: { lora: { rank: 4, dora: true }, training: { labelSmoothing: 0.1 }, evaluation: { fraction: 0 } },
} satisfies Record<string, RecipeInput>;
type Name = keyof typeof recipes;
const names = Object.keys(recipes) as Name[];

let root: string;
let datasetSha256: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-together-'));
  await writeTinyModel(join(root, 'model'));
  const data = tinyDataset(40);
  datasetSha256 = createHash('sha256').update(data).digest('hex');
  await writeFile(join(root, 'data.jsonl'), data);
});
afterAll(() => rm(root, { recursive: true }));

interface Options {
  bases?: SharedBases;
  signal?: AbortSignal;
  onMetric?: (metric: JobMetric) => void;
  changes?: RecipeInput['training'];
}

/** The adapter's bytes and the losses on the way, or what it was stopped for. */
async function run(name: Name, folder: string, { bases, signal, onMetric, changes }: Options = {}) {
  const recipe: RecipeInput = recipes[name];
  const losses: string[] = [];
  const result = runTraining({
    recipe: makeRecipe({
      ...{ optimizer: { learningRate: 0.01 }, checkpoints: { everySteps: 4 } },
      evaluation: { fraction: 0.1, everySteps: 3 },
      ...recipe,
      training: { steps: 7, sequenceLength: 64, rows: 2, accumulation: 2, ...recipe.training, ...changes },
    }),
    adapter: name,
    base: {
      ...{ source: 'tiny', revision: 'r1', key: modelKey([]), dir: join(root, 'model') },
      fetchWeights: () => Promise.resolve(),
    },
    dataset: { file: join(root, 'data.jsonl'), sha256: datasetSha256, format: 'chat' },
    maxLineBytes: 1 << 20,
    cacheDir: join(root, folder, 'cache'),
    checkpointsDir: join(root, folder, name),
    threads: 1,
    signal: signal ?? new AbortController().signal,
    bases,
    onMessage: () => undefined,
    onPlan: () => undefined,
    onMetric: (metric) => {
      losses.push(`${metric.kind} ${metric.step} ${metric.loss} ${metric.gradNorm}`);
      onMetric?.(metric);
    },
    onCheckpoint: () => undefined,
  });
  try {
    const { files } = await result;
    const weights = files.find(({ path }) => path === 'adapter_model.safetensors')?.bytes as Uint8Array;
    return { weights: createHash('sha256').update(weights).digest('hex'), losses };
  } catch (error) {
    if (error instanceof TrainingStopped) return { stopped: error.reason, losses };
    throw error;
  }
}

describe('runs on shared bases', () => {
  let alone: Awaited<ReturnType<typeof run>>[];
  beforeAll(async () => {
    alone = [];
    for (const name of names) alone.push(await run(name, 'alone'));
  });

  it('give the bytes that each gives alone', async () => {
    const bases = new SharedBases();
    expect(await Promise.all(names.map((name) => run(name, 'together', { bases })))).toEqual(alone);
  });

  it('give them in bf16 too, and keep apart what computes otherwise', async () => {
    const changes = [{ compute: 'bf16' as const }, { compute: 'f32' as const }];
    const separate = [];
    for (const change of changes)
      separate.push(await run('plain', `alone-${change.compute}`, { changes: change }));
    const bases = new SharedBases();
    const both = changes.map((change) => run('plain', `both-${change.compute}`, { changes: change, bases }));
    expect(await Promise.all(both)).toEqual(separate);
  });

  it.each(['drain', 'cancel'] as const)(
    'go on unchanged when one is stopped to %s, and that one goes on by itself',
    async (reason: StopReason) => {
      const bases = new SharedBases();
      const stop = new AbortController();
      const ends = await Promise.all(
        names.map((name, i) =>
          run(name, reason, {
            bases,
            ...(i === 1 && { signal: stop.signal, onMetric: ({ step }) => step === 5 && stop.abort(reason) }),
          }),
        ),
      );
      expect(ends[1]).toMatchObject({ stopped: reason });
      expect(ends.filter((_, i) => i !== 1)).toEqual(alone.filter((_, i) => i !== 1));
      expect(await run('high', reason)).toMatchObject({ weights: (alone[1] as { weights: string }).weights });
    },
  );

  it('open the base again when the one that was opening it was stopped', async () => {
    const bases = new SharedBases();
    const stop = new AbortController();
    const first = run('plain', 'stopped', { bases, signal: stop.signal });
    const second = run('short', 'stopped', { bases });
    stop.abort('cancel');
    expect(await first).toMatchObject({ stopped: 'cancel' });
    expect(await second).toEqual(alone[2]);
  });
});
