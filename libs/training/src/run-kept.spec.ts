import { type JobMetric, type JobSample, type RecipeInput } from '@lowrank/contracts';
import { makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelKey } from './caches';
import { sha256 } from './files';
import { runTraining } from './run';
import { TrainingStopped, type TrainedAdapter } from './run-options';

const data = tinyDataset(40);
const steps = 12;
const small: RecipeInput = {
  // In bfloat16 what is measured on the way is not yet rounded.
  lora: { rank: 4, dropout: 0.1, dtype: 'f32' },
  optimizer: { learningRate: 0.01, schedule: 'constant', warmupRatio: 0 },
  evaluation: { fraction: 0.1, everySteps: 3 },
  checkpoints: { everySteps: 4 },
};
const recipe = (changes: RecipeInput = {}) => {
  const training = { steps, sequenceLength: 64, rows: 2, compute: 'f32', ...changes.training } as const;
  return makeRecipe({ ...small, ...changes, training });
};

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-kept-'));
  await writeTinyModel(join(root, 'model'));
  await writeFile(join(root, 'data.jsonl'), data);
});
afterAll(() => rm(root, { recursive: true }));

/** A run with what it has kept; after `stopAfter` steps and evaluations it is asked for its slot, if it is not Infinity. */
async function run(job: string, changes: RecipeInput = {}, stopAfter = Infinity) {
  const kept: TrainedAdapter[] = [];
  const samples: [number, JobSample[]][] = [];
  const metrics: JobMetric[] = [];
  const controller = new AbortController();
  const trained = await runTraining({
    recipe: recipe(changes),
    adapter: 'sums',
    base: {
      ...{ source: 'tiny', revision: 'r1', key: modelKey([]), dir: join(root, 'model') },
      fetchWeights: () => Promise.resolve(),
    },
    dataset: { file: join(root, 'data.jsonl'), sha256: sha256(data), format: 'chat' },
    maxLineBytes: 1 << 20,
    cacheDir: join(root, 'cache'),
    checkpointsDir: join(root, 'jobs', job),
    threads: 1,
    signal: controller.signal,
    onMessage: () => undefined,
    onPlan: () => undefined,
    onMetric: (metric) => {
      if (metrics.push(metric) === stopAfter) controller.abort('drain');
    },
    onCheckpoint: () => undefined,
    onKept: (state) => kept.push(state),
    onSamples: (step, own) => samples.push([step, own]),
  }).catch((error: unknown) => {
    if (!(error instanceof TrainingStopped)) throw error;
    return null;
  });
  return { trained, kept, samples, metrics };
}

const filesOf = (state: TrainedAdapter | null | undefined) =>
  (state?.files ?? []).filter(({ path }) => path.startsWith('adapter_')).map(({ bytes }) => sha256(bytes));

describe('states that are kept', () => {
  it('are those after checkpoints and evaluations, each as a run of so many steps publishes it', async () => {
    const long = await run('long');
    expect(long.kept.map(({ metrics }) => [metrics.steps, metrics.evalLossAfter !== null])).toEqual([
      [3, true],
      [4, false],
      [6, true],
      [8, false],
      [9, true],
    ]);
    const short = await run('short', { training: { steps: 6 } });
    const state = long.kept[2];
    expect(filesOf(state)).toEqual(filesOf(short.trained));
    expect(state?.metrics).toMatchObject({
      evalLossBefore: short.trained?.metrics.evalLossBefore,
      evalLossAfter: short.trained?.metrics.evalLossAfter,
      trainLoss: long.metrics.find(({ step, kind }) => step === 6 && kind === 'train')?.loss,
    });
    expect(state?.templateSha256).toBe(short.trained?.templateSha256);
  });

  it('are none where the recipe says so', async () => {
    expect((await run('none', { checkpoints: { keep: 0 } })).kept).toEqual([]);
  });
});

describe('samples', () => {
  it('are kept before, at evaluations, and after, and change nothing of the adapter', async () => {
    const all = await run('sampled', { samples: { count: 2, times: 100 } });
    expect(all.samples.map(([step]) => step)).toEqual([0, 3, 6, 9, 12]);
    for (const [, samples] of all.samples)
      expect(samples).toMatchObject([
        { prompt: expect.stringContaining('<|im_start|>user'), expected: expect.stringMatching(/^It is/) },
        { prompt: expect.stringContaining('<|im_start|>user'), expected: expect.stringMatching(/^It is/) },
      ]);
    const [before, after] = [all.samples[0]?.[1], all.samples.at(-1)?.[1]];
    expect(before?.map(({ text }) => text)).not.toEqual(after?.map(({ text }) => text));
    const published = all.trained?.files.find(({ path }) => path === 'samples.json')?.bytes;
    expect(JSON.parse(Buffer.from(published ?? '').toString())).toMatchObject(
      [0, 1].map((i) => ({
        before: before?.[i]?.text,
        after: after?.[i]?.text,
      })),
    );

    const none = await run('unsampled', { samples: { count: 0 } });
    expect(none.samples).toEqual([]);
    expect(none.trained?.files.map(({ path }) => path)).not.toContain('samples.json');
    expect(filesOf(none.trained)).toEqual(filesOf(all.trained));
    expect((await run('sampled again', { samples: { count: 2, times: 100 } })).samples).toEqual(all.samples);
  });

  it('are of evaluations that lie evenly, as few as the recipe says', async () => {
    const changes = { evaluation: { fraction: 0.1, everySteps: 1 }, samples: { times: 2, maxTokens: 4 } };
    expect((await run('few', changes)).samples.map(([step]) => step)).toEqual([0, 4, 8, 12]);
    expect((await run('ends', { samples: { times: 0 } })).samples.map(([step]) => step)).toEqual([0, 12]);
  });

  it('are of prompts of their own, without rows held out too', async () => {
    const changes = {
      evaluation: { fraction: 0, everySteps: 6 },
      samples: { prompts: ['1+1'], maxTokens: 4 },
    };
    const { samples } = await run('own', changes);
    expect(samples.map(([step]) => step)).toEqual([0, 6, 12]);
    expect(samples[0]?.[1]).toMatchObject([{ expected: null }]);
  });

  it('are the same when a run is interrupted', async () => {
    const changes = { samples: { count: 1, maxTokens: 8 } };
    const undisturbed = await run('whole', changes);
    const parts = [];
    // The evaluation after step 6 is the ninth that is told: it is stopped while it is at its samples.
    for (const stopAfter of [9, Infinity]) parts.push(await run('parts', changes, stopAfter));
    const told = new Map(parts.flatMap(({ samples }) => samples));
    expect([...told]).toEqual(undisturbed.samples);
    expect(filesOf(parts[1]?.trained)).toEqual(filesOf(undisturbed.trained));
  });
});
