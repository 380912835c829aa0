import { type JobMetric, type RecipeInput } from '@lowrank/contracts';
import { makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelKey, quantizedBasePath } from './caches';
import { runTraining } from './run';
import { TrainingStopped, type RunOptions, type StopReason } from './run-options';
import { type Sample } from './samples';

const STEPS = 7;
const small: RecipeInput = {
  lora: { rank: 4, dropout: 0.1 },
  training: { steps: STEPS, sequenceLength: 64, rows: 2, accumulation: 2, compute: 'f32' },
  optimizer: { learningRate: 0.01 },
  evaluation: { fraction: 0.1, everySteps: 3 },
  checkpoints: { everySteps: 4 },
};
const recipe = (changes: RecipeInput = {}) =>
  makeRecipe({ ...small, ...changes, training: { ...small.training, ...changes.training } });

let root: string;
let datasetSha256: string;
const at = (name: string): string => join(root, name);
const fetchWeights = jest.fn(() => Promise.resolve());
const sha256 = (bytes: string): string => createHash('sha256').update(bytes).digest('hex');

interface Told {
  metrics: JobMetric[];
  messages: string[];
  plans: [number, number][];
  saved: number[];
}

/** Runs a job whose checkpoints lie in a folder of its name. */
async function run(job: string, changes: Partial<RunOptions> = {}) {
  const told: Told = { metrics: [], messages: [], plans: [], saved: [] };
  const { onMetric, ...rest } = changes;
  const result = runTraining({
    recipe: recipe(),
    adapter: 'sums',
    base: { source: 'tiny', revision: 'r1', key: modelKey([]), dir: at('model'), fetchWeights },
    dataset: { file: at('data.jsonl'), sha256: datasetSha256, format: 'chat' },
    maxLineBytes: 1 << 20,
    cacheDir: at('cache'),
    checkpointsDir: at(`jobs/${job}`),
    threads: 1,
    signal: new AbortController().signal,
    onMessage: (level, message) => told.messages.push(`${level} ${message}`),
    onPlan: (totalSteps, from) => told.plans.push([totalSteps, from]),
    onMetric: (metric, trainedTokens) => {
      told.metrics.push(metric);
      onMetric?.(metric, trainedTokens);
    },
    onCheckpoint: (step) => told.saved.push(step),
    ...rest,
  });
  const [value, error] = await result.then(
    (trained) => [trained, null] as const,
    (reason: unknown) => [null, reason] as const,
  );
  return { ...told, value, error };
}
type Ended = Awaited<ReturnType<typeof run>>;

const filesOf = ({ value }: Ended): [string, string][] =>
  (value?.files ?? []).map(({ path, bytes }) => [path, Buffer.from(bytes).toString('latin1')]);
const textOf = ({ value }: Ended, path: string): string =>
  Buffer.from(value?.files.find((file) => file.path === path)?.bytes ?? []).toString('utf8');
/** What a version's metrics say of the training, not of the machine. */
const metricsOf = ({ value }: Ended) => ({ ...value?.metrics, seconds: 0, peakMemoryBytes: 0 });
/** What has to be the same whatever happens on the way. */
const trace = (ended: { metrics: JobMetric[] }[]): string[] => [
  ...new Set(
    ended.flatMap(({ metrics }) =>
      metrics.map(({ kind, step, loss, gradNorm, accuracy }) =>
        [kind, step, loss, gradNorm, accuracy].join(),
      ),
    ),
  ),
];

/** Runs a job until it is stopped after so many metrics, or within what comes next if late. */
async function stopped(job: string, reason: StopReason, stop: number, late = false): Promise<Ended> {
  const controller = new AbortController();
  let count = 0;
  const onMetric = (): void => {
    if ((count += 1) !== stop) return;
    if (late) setImmediate(() => controller.abort(reason));
    else controller.abort(reason);
  };
  const ended = await run(job, { signal: controller.signal, onMetric });
  expect(ended.error).toEqual(new TrainingStopped(reason));
  return ended;
}

let undisturbed: Ended;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-run-'));
  await writeTinyModel(at('model'));
  const data = tinyDataset(40);
  datasetSha256 = sha256(data);
  await writeFile(at('data.jsonl'), data);
  undisturbed = await run('undisturbed');
});
afterAll(() => rm(root, { recursive: true }));

describe('a run', () => {
  it('ends with the files of a version', async () => {
    expect(undisturbed.error).toBeNull();
    expect(filesOf(undisturbed).map(([path]) => path)).toEqual([
      'adapter_model.safetensors',
      'adapter_config.json',
      'README.md',
      'samples.json',
    ]);
    expect(JSON.parse(textOf(undisturbed, 'adapter_config.json'))).toMatchObject({
      base_model_name_or_path: 'tiny',
      revision: 'r1',
      r: 4,
    });
    const samples = JSON.parse(textOf(undisturbed, 'samples.json')) as Sample[];
    expect(samples).toHaveLength(3);
    for (const { prompt, expected } of samples) {
      expect(prompt).toMatch(/^<\|bos\|><\|im_start\|>user\n\d\+\d<\|im_end\|>\n<\|im_start\|>assistant\n$/);
      expect(expected).toMatch(/^It is \d+\.$/);
    }
    expect(undisturbed.value?.templateSha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it('tells its plan, its data and its progress', async () => {
    expect(undisturbed.plans).toEqual([[STEPS, 0]]);
    expect(undisturbed.saved).toEqual([4, STEPS]);
    expect(undisturbed.metrics.map(({ kind, step }) => `${kind} ${step}`)).toEqual(
      'eval 0,train 1,train 2,train 3,eval 3,train 4,train 5,train 6,eval 6,train 7,eval 7'.split(','),
    );
    expect(undisturbed.messages[0]).toMatch(/^info preparing the base model/);
    expect(undisturbed.messages.at(-1)).toMatch(
      /^info 36 sequences in \d+ packed rows, \d+ % full; 4 held out$/,
    );
    const { metrics } = undisturbed.value as { metrics: Record<string, number> };
    expect(metrics['steps']).toBe(STEPS);
    expect(metrics['trainLoss']).toBe(undisturbed.metrics.at(-2)?.loss);
    expect(metrics['evalLossBefore']).toBe(undisturbed.metrics[0]?.loss);
    expect(metrics['evalLossAfter']).toBe(undisturbed.metrics.at(-1)?.loss);
    expect(metrics['evalLossAfter']).toBeLessThan(metrics['evalLossBefore'] as number);
  });

  it('fetches the weights once for all runs on a base', async () => {
    await run('again');
    expect(fetchWeights).toHaveBeenCalledTimes(1);
  });

  it('gives the same bytes again, with another number of threads', async () => {
    const again = await run('threads', { threads: 2 });
    expect(filesOf(again)).toEqual(filesOf(undisturbed));
    expect(trace([again])).toEqual(trace([undisturbed]));
    expect(metricsOf(again)).toEqual(metricsOf(undisturbed));
  });

  it('gives other bytes for another seed', async () => {
    const other = await run('seed', { recipe: recipe({ training: { seed: 43 } }) });
    expect(filesOf(other)[0]?.[1]).not.toBe(filesOf(undisturbed)[0]?.[1]);
  });

  it('begins with other weights for another seed', async () => {
    // The only step has a learning rate of 0.
    const still = (seed: number) =>
      recipe({ optimizer: { warmupRatio: 1 }, training: { steps: 1, seed }, evaluation: { fraction: 0 } });
    const [one, two] = [await run('seed-1', { recipe: still(1) }), await run('seed-2', { recipe: still(2) })];
    expect(filesOf(one)[0]?.[1]).not.toBe(filesOf(two)[0]?.[1]);
  });

  it('goes on from its last checkpoint, which may be the whole of it', async () => {
    const again = await run('undisturbed');
    expect(again.plans).toEqual([[STEPS, STEPS]]);
    expect(again.metrics).toEqual([]);
    expect(filesOf(again)).toEqual(filesOf(undisturbed));
  });

  it('brings along in its checkpoint the metrics that nobody said to be written', async () => {
    const first = await run('unwritten', { writtenStep: () => STEPS - 2 });
    const onPlan = jest.fn();
    await run('unwritten', { onPlan });
    expect(onPlan.mock.calls[0]?.[2]).toEqual(first.metrics.filter(({ step }) => step > STEPS - 2));
  });

  it('without held-out rows has neither evaluations nor samples', async () => {
    const { metrics, value } = await run('none', { recipe: recipe({ evaluation: { fraction: 0 } }) });
    expect(metrics.every(({ kind }) => kind === 'train')).toBe(true);
    expect(value?.files).toHaveLength(3);
    expect(value?.metrics).toMatchObject({ evalLossBefore: null, evalAccuracyAfter: null });
  });
});

describe('a run that is stopped', () => {
  it.each<[string, StopReason, boolean]>([
    ['drained between steps', 'drain', false],
    ['drained within a step', 'drain', true],
    ['cancelled between steps', 'cancel', false],
    ['cancelled within a step', 'cancel', true],
  ])('when %s and run again gives the same bytes', async (title, reason, late) => {
    // Stops before and after evaluations, right at the start, and (in what is left then) near the end.
    const stops = reason === 'drain' ? [1, 3, 1, 2, 1] : [2, 7, 2, 3];
    const job = title.replaceAll(' ', '-');
    const ended: Ended[] = [];
    for (const stop of stops) ended.push(await stopped(job, reason, stop, late));
    const last = await run(job);
    ended.push(last);
    expect(filesOf(last)).toEqual(filesOf(undisturbed));
    expect(metricsOf(last)).toEqual(metricsOf(undisturbed));
    // Steps computed twice gave the same numbers, so that the set of all numbers is that of one run.
    expect(trace(ended).sort()).toEqual(trace([undisturbed]).sort());
    expect(last.plans[0]?.[1]).toBeGreaterThan(0);
  });

  it('writes a checkpoint of its last whole step for a drain, none for a cancellation', async () => {
    expect((await stopped('once', 'drain', 4)).saved).toEqual([3]);
    expect((await stopped('never', 'cancel', 4)).saved).toEqual([]);
  });

  it('goes no further than the micro-batch at hand', async () => {
    const stop = new AbortController();
    const onMetric = ({ step }: JobMetric): void => {
      if (step === 2) stop.abort('cancel');
    };
    const { metrics, error, saved } = await run('quick', { signal: stop.signal, onMetric });
    expect(error).toEqual(new TrainingStopped('cancel'));
    expect(metrics.at(-1)?.step).toBe(2);
    expect(saved).toEqual([]);
  });

  it.each<[string, (stop: AbortController) => Partial<RunOptions>]>([
    [
      'before it began',
      (stop) => {
        stop.abort('cancel');
        return {};
      },
    ],
    [
      'while the base is quantized',
      (stop) => ({
        base: {
          source: 'tiny',
          revision: 'r1',
          key: 'other',
          dir: at('model'),
          fetchWeights: () => Promise.resolve(stop.abort('cancel')),
        },
      }),
    ],
    [
      'while rows are encoded',
      (stop) => {
        setTimeout(() => stop.abort('cancel'), 30);
        return { dataset: { file: at('data.jsonl'), sha256: 'e'.repeat(64), format: 'chat' } };
      },
    ],
    [
      'while samples are made',
      (stop) => ({
        onMetric: ({ step, kind }) => {
          if (step === STEPS && kind === 'eval') setTimeout(() => stop.abort('cancel'), 5);
        },
      }),
    ],
  ])('ends when that comes %s', async (_title, changes) => {
    const stop = new AbortController();
    const { error } = await run('early', { signal: stop.signal, ...changes(stop) });
    expect(error).toEqual(new TrainingStopped('cancel'));
    await rm(at('jobs/early'), { recursive: true, force: true });
  });
});

describe('a run that fails', () => {
  it('while it is being drained leaves no checkpoint of half a step', async () => {
    const stop = new AbortController();
    const onMetric = ({ kind, step }: JobMetric): void => {
      if (kind !== 'train' || step !== 2) return;
      // The weights are already those of step 2, the progress still that of step 1.
      stop.abort('drain');
      throw new RangeError('no one listens');
    };
    const failed = await run('half', { signal: stop.signal, onMetric });
    expect(failed.error).toBeInstanceOf(RangeError);
    expect(failed.saved).toEqual([]);
    expect(filesOf(await run('half'))).toEqual(filesOf(undisturbed));
  });

  it('keeps the checkpoint before when the next cannot be written', async () => {
    expect((await stopped('full', 'drain', 4)).saved).toEqual([3]);
    const onMetric = ({ kind, step }: JobMetric): void => {
      if (kind !== 'train' || step !== 4) return;
      // A file where the folder was: writing there fails for root too.
      renameSync(at('jobs/full'), at('jobs/aside'));
      writeFileSync(at('jobs/full'), '');
    };
    const { error, value, saved } = await run('full', { onMetric });
    expect(error).toMatchObject({ code: 'EEXIST' });
    expect([value, saved]).toEqual([null, []]);
    await rm(at('jobs/full'));
    await rename(at('jobs/aside'), at('jobs/full'));
    const again = await run('full');
    expect(again.plans).toEqual([[STEPS, 3]]);
    expect(filesOf(again)).toEqual(filesOf(undisturbed));
  });

  it('exports nothing when the loss is not finite', async () => {
    // Activations overflow float32 within a few steps.
    const wild = recipe({
      lora: { rank: 4, alpha: 4096 },
      optimizer: { learningRate: 1, schedule: 'constant', warmupRatio: 0, maxGradNorm: 0 },
      training: { steps: 300 },
    });
    const { error, value } = await run('nan', { recipe: wild });
    expect(error).toMatchObject({ code: 'loss_not_finite' });
    expect(value).toBeNull();
  });

  it.each<[string, RecipeInput, string, RegExp]>([
    ['an unknown target', { lora: { targets: ['nose_proj'] } }, 'recipe_invalid', /nose_proj.*q_proj/],
    ['a length beyond the context', { training: { sequenceLength: 257 } }, 'recipe_invalid', /257.*256/],
    [
      'rows that are too long',
      { training: { sequenceLength: 16, tooLong: 'fail' } },
      'sequence_too_long',
      /^row \d+ has 3\d tokens/,
    ],
    [
      'rows that are all dropped',
      { training: { sequenceLength: 16, tooLong: 'drop' } },
      'dataset_empty',
      /nothing|no row/,
    ],
  ])('for %s says so', async (_title, changes, code, message) => {
    const { error } = await run('bad', { recipe: recipe(changes) });
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('names the row of the dataset that is too long', async () => {
    // 40 rows of which the last is long, or is held out by some seeds: both parts have to know its number.
    const lines = tinyDataset(40).trimEnd().split('\n');
    lines[39] = lines[39]?.replace('It is', `It is ${'so '.repeat(40)}`) as string;
    const data = `${lines.join('\n')}\n`;
    await writeFile(at('long.jsonl'), data);
    const dataset = { file: at('long.jsonl'), sha256: sha256(data), format: 'chat' as const };
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const changes = { training: { seed, tooLong: 'fail' as const }, evaluation: { fraction: 0.5 } };
      const { error } = await run('long', { dataset, recipe: recipe(changes) });
      expect(error).toMatchObject({ message: expect.stringMatching(/^row 40 has /) });
    }
  });
});

describe('the base', () => {
  // Linux lists a process's mapped files.
  const mapped = (): boolean => readFileSync('/proc/self/maps', 'utf8').includes(at('cache'));

  it.each<[string, Partial<RunOptions>]>([
    ['a run', {}],
    ['a failure', { recipe: recipe({ lora: { targets: ['nose_proj'] } }) }],
    ['a refusal', { recipe: recipe({ training: { sequenceLength: 257 } }) }],
  ])('is closed after %s', async (_title, changes) => {
    let during = false;
    await run('closed', { ...changes, onMetric: () => (during = mapped()) });
    expect(during).toBe(changes.recipe === undefined);
    expect(mapped()).toBe(false);
  });
});

describe('checkpoints of a run', () => {
  it.each<[string, Partial<RunOptions>]>([
    ['recipe', { recipe: recipe({ optimizer: { learningRate: 0.011 } }) }],
    ['base model', { base: { source: 'tiny', revision: 'r1', key: 'k2', dir: '', fetchWeights } }],
  ])('of another %s are passed over', async (_title, changes) => {
    await cp(at('jobs/undisturbed'), at('jobs/other'), { recursive: true });
    const path = (key: string) => quantizedBasePath({ key, storage: recipe().base, cacheDir: at('cache') });
    await cp(path(modelKey([])), path('k2'));
    if (changes.base !== undefined) changes.base.dir = at('model');
    const { plans, messages, saved } = await run('other', changes);
    expect([plans, saved]).toEqual([[[STEPS, 0]], [4, STEPS]]);
    expect(messages.filter((message) => message.startsWith('warn checkpoint'))).toHaveLength(2);
    await rm(at('jobs/other'), { recursive: true });
  });

  it('that are damaged cost no more than the steps since the one before', async () => {
    await cp(at('jobs/undisturbed'), at('jobs/damaged'), { recursive: true });
    const [, newest] = (await readdir(at('jobs/damaged'))).sort();
    const state = join(at('jobs/damaged'), newest as string, 'adapter.state');
    const bytes = await readFile(state);
    bytes[100] = (bytes[100] as number) ^ 1;
    await writeFile(state, bytes);
    const again = await run('damaged');
    expect(again.plans).toEqual([[STEPS, 4]]);
    expect(filesOf(again)).toEqual(filesOf(undisturbed));
  });
});
