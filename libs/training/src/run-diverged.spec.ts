import { makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelKey } from './caches';
import { runTraining } from './run';
import { TrainingStopped } from './run-options';

const data = tinyDataset(40);
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-run-'));
  await writeTinyModel(join(root, 'model'));
  await writeFile(join(root, 'data.jsonl'), data);
});
afterAll(() => rm(root, { recursive: true }));

/** A run so fast that its activations overflow; after `stopAfter` metrics it ends as if it were killed. */
async function run(job: string, loraPlusRatio: number, stopAfter = Infinity) {
  const messages: string[] = [];
  const plans: number[] = [];
  const controller = new AbortController();
  let count = 0;
  const result = await runTraining({
    recipe: makeRecipe({
      lora: { rank: 4, alpha: 2048 },
      training: { steps: 8, sequenceLength: 64, rows: 2, compute: 'f32' },
      optimizer: { learningRate: 1, loraPlusRatio, schedule: 'linear', warmupRatio: 0 },
      evaluation: { fraction: 0 },
      checkpoints: { everySteps: 5 },
    }),
    adapter: 'sums',
    base: {
      ...{ source: 'tiny', revision: 'r1', key: modelKey([]), dir: join(root, 'model') },
      fetchWeights: () => Promise.resolve(),
    },
    dataset: {
      file: join(root, 'data.jsonl'),
      sha256: createHash('sha256').update(data).digest('hex'),
      format: 'chat',
    },
    maxLineBytes: 1 << 20,
    cacheDir: join(root, 'cache'),
    checkpointsDir: join(root, 'jobs', job),
    threads: 1,
    signal: controller.signal,
    onMessage: (_level, message) => messages.push(message),
    onPlan: (_steps, from) => plans.push(from),
    onMetric: () => {
      if ((count += 1) === stopAfter) controller.abort('cancel');
    },
    onCheckpoint: () => undefined,
  }).then(
    (trained) => ({ trained, error: null }),
    (error: unknown) => ({ trained: null, error }),
  );
  const back = messages.filter((message) => message.includes('with half of the learning rate'));
  const weights = result.trained?.files.find(({ path }) => path === 'adapter_model.safetensors')?.bytes;
  return { ...result, back, plans, weights: weights && createHash('sha256').update(weights).digest('hex') };
}

describe('a run that diverges', () => {
  it('goes back with half of the learning rate, and says how often it did', async () => {
    const { trained, error, back, plans } = await run('saved', 2);
    expect(error).toBeNull();
    expect(back.length).toBeGreaterThan(0);
    expect(plans).toHaveLength(back.length + 1);
    expect(trained?.metrics).toMatchObject({ steps: 8, rollbacks: back.length });
  });

  it('ends with the same bytes when it is killed on the way', async () => {
    const { weights } = await run('undisturbed', 2);
    const first = await run('killed', 2, 4);
    expect(first.error).toEqual(new TrainingStopped('cancel'));
    const second = await run('killed', 2);
    expect(first.back.length + second.back.length).toBeGreaterThan(0);
    expect(second.weights).toBe(weights);
  });

  it('goes back twice at most, and then fails', async () => {
    const { error, back } = await run('lost', 1000);
    expect(error).toMatchObject({ code: 'loss_not_finite' });
    expect(back).toEqual([
      expect.stringMatching(/step 4 .*back to step 0, .*\(1 of 2 times\)/),
      expect.stringMatching(/back to step 0, .*\(2 of 2 times\)/),
    ]);
  });
});
