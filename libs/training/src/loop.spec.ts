import { type JobMetric, type RecipeInput } from '@lowrank/contracts';
import { type Adapter, type Base, type PackedBatch } from '@lowrank/kernels';
import { makeRecipe } from '@lowrank/testing';
import { makeSequence, openTiny, type Tiny } from '../test/tiny';
import { evaluate, freshProgress, train, type Progress, type TrainOptions } from './loop';
import { adapterWeights } from './peft';
import { planTraining } from './plan';
import { learningRate } from './schedule';
import { toBatch } from './sequences';

let tiny: Tiny;
let opened: Adapter[] = [];
beforeAll(async () => {
  tiny = await openTiny();
});
afterEach(() => {
  for (const adapter of opened) adapter.close();
  opened = [];
});
afterAll(() => tiny.close());

function newAdapter(dropout = 0): Adapter {
  const adapter = tiny.adapter({ dropout });
  opened.push(adapter);
  return adapter;
}

// Three rows of 32: very unlike in tokens and in tokens with loss.
const sequences = [makeSequence(32, 3, 31), makeSequence(30, 90, 2), makeSequence(20, 150, 7)];
const held: PackedBatch[] = [toBatch([makeSequence(12, 60), makeSequence(9, 33, 4)], [[0, 1]])];

const base: RecipeInput = {
  training: { steps: 4, sequenceLength: 32, rows: 1, accumulation: 3 },
  optimizer: { learningRate: 0.01, warmupRatio: 0.25 },
  checkpoints: { everySteps: 1000 },
};
const recipeOf = (changes: RecipeInput = {}) =>
  makeRecipe({ ...base, ...changes, training: { ...base.training, ...changes.training } });

/** Trains a new adapter and keeps everything that is told. */
async function run(changes: RecipeInput = {}, options: Partial<TrainOptions> = {}) {
  const recipe = recipeOf(changes);
  const told = { metrics: [] as JobMetric[], tokens: [] as number[], saved: [] as number[] };
  let current: Progress = freshProgress;
  const adapter = options.adapter ?? newAdapter();
  const result = train({
    base: tiny.base,
    adapter,
    recipe,
    plan: planTraining(sequences, recipe),
    evaluation: [],
    progress: freshProgress,
    signal: new AbortController().signal,
    onMetric: (metric, trainedTokens) => {
      told.metrics.push(metric);
      told.tokens.push(trainedTokens);
    },
    onCheckpoint: ({ step }) => Promise.resolve(void told.saved.push(step)),
    onProgress: (progress) => (current = progress),
    onWarning: () => undefined,
    ...options,
  });
  const error = await result.then(
    () => null,
    (reason: unknown) => reason,
  );
  return { ...told, adapter, recipe, progress: current, error };
}

const stepsOf = (metrics: JobMetric[], kind: JobMetric['kind']): number[] =>
  metrics.filter((metric) => metric.kind === kind).map(({ step }) => step);

/** Largest difference of two adapters' weights. */
const distance = (a: Adapter, b: Adapter): number =>
  Math.max(
    ...a.tensors.map((_, i) => {
      const other = b.read(i);
      return a.read(i).reduce((most, value, k) => Math.max(most, Math.abs(value - (other[k] as number))), 0);
    }),
  );

describe('accumulation', () => {
  it('weighs every token alike, however they are spread over micro-batches', async () => {
    const together = await run({ training: { rows: 3, accumulation: 1 } });
    const apart = await run({ training: { rows: 1, accumulation: 3 } });
    const uneven = await run({ training: { rows: 2, accumulation: 2 } });
    expect(distance(together.adapter, newAdapter())).toBeGreaterThan(0.01);
    for (const other of [apart, uneven]) {
      // Sums in another order differ in their last bits; Adam makes a little more of it.
      expect(distance(other.adapter, together.adapter)).toBeLessThan(1e-4);
      other.metrics.forEach(({ loss, gradNorm }, i) => {
        expect(loss).toBeCloseTo(together.metrics[i]?.loss as number, 5);
        expect(gradNorm).toBeCloseTo(together.metrics[i]?.gradNorm as number, 4);
      });
    }
  });

  it('reports the mean loss over all tokens of the step', async () => {
    const start = newAdapter();
    const { metrics } = await run();
    let [sum, tokens] = [0, 0];
    for (const sequence of sequences) {
      const end = sequence.length;
      const [loss] = await tiny.base.evalStep(toBatch([sequence], [[0]]), [
        { adapter: start, begin: 0, end },
      ]);
      sum += loss?.sum as number;
      tokens += loss?.tokens as number;
    }
    expect(tokens).toBe(40);
    expect(metrics[0]?.loss).toBeCloseTo(sum / tokens, 6);
  });
});

describe('train', () => {
  it('lowers the loss and tells what it does', async () => {
    const { metrics, tokens, recipe, progress } = await run({
      training: { steps: 12, rows: 2, accumulation: 1 },
    });
    expect(stepsOf(metrics, 'train')).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(metrics.map((metric) => metric.learningRate)).toEqual(
      metrics.map((_, i) => learningRate(i, 12, recipe.optimizer)),
    );
    expect(metrics.map(({ epochs }) => epochs)).toEqual(metrics.map((_, i) => (i + 1) / 2));
    expect(metrics.at(-1)?.loss).toBeLessThan((metrics[0]?.loss as number) * 0.9);
    // 82 tokens in a pass of two steps.
    expect(tokens.filter((_, i) => i % 2 === 1)).toEqual([82, 164, 246, 328, 410, 492]);
    expect(progress.trainedTokens).toBe(492);
  });

  it('keeps the loss of the last tenth of its steps', async () => {
    const { metrics, progress } = await run({ training: { steps: 11 } });
    expect(progress.lossTokens).toBe(80);
    const [a = NaN, b = NaN] = metrics.slice(-2).map(({ loss }) => loss);
    expect(progress.lossSum / progress.lossTokens).toBeCloseTo((a + b) / 2, 10);
  });

  it.each([
    [null, [0, 10]],
    [4, [0, 4, 8, 10]],
    [5, [0, 5, 10]],
    [100, [0, 10]],
  ])('evaluates at the start, the end and every %j steps', async (everySteps, expected) => {
    const { metrics, progress } = await run(
      { training: { steps: 10 }, evaluation: { everySteps } },
      { evaluation: held },
    );
    expect(stepsOf(metrics, 'eval')).toEqual(expected);
    const last = metrics.at(-1);
    expect(progress.evalAfter).toEqual({ loss: last?.loss, accuracy: last?.accuracy });
    expect(progress.evaluatedAt).toBe(10);
  });

  it('evaluates at steps and shares of all steps besides, each step once', async () => {
    const evaluation = { everySteps: 5, at: [3, 0.41, 0.5, 1, 30] };
    const { metrics } = await run({ training: { steps: 10 }, evaluation }, { evaluation: held });
    expect(stepsOf(metrics, 'eval')).toEqual([0, 1, 3, 5, 10]);
  });

  it('computes the same bytes however often it evaluates', async () => {
    const often = await run({ training: { steps: 4 }, evaluation: { at: [1, 2, 3] } }, { evaluation: held });
    const never = await run({ training: { steps: 4 } });
    expect(stepsOf(often.metrics, 'eval')).toHaveLength(5);
    expect(distance(often.adapter, never.adapter)).toBe(0);
  });

  /** As progress keeps it. */
  const evaluated = async (adapter: Adapter | null) => {
    const { loss, accuracy } = await evaluate(tiny.base, adapter, held);
    return { loss, accuracy };
  };

  it('compares the bare base with the trained adapter', async () => {
    const { adapter, progress } = await run({}, { evaluation: held });
    expect(progress.evalBefore).toEqual(await evaluated(null));
    expect(progress.evalAfter).toEqual(await evaluated(adapter));
    expect(progress.evalAfter?.loss).not.toBe(progress.evalBefore?.loss);
  });

  it('evaluates by the token, not by the batch', async () => {
    const parts = [makeSequence(30, 5), makeSequence(9, 80, 1)].map((sequence) => toBatch([sequence], [[0]]));
    const [long, short] = await Promise.all(parts.map((part) => evaluate(tiny.base, null, [part])));
    const { loss, accuracy } = await evaluate(tiny.base, null, parts);
    expect(loss).toBeCloseTo((30 * (long?.loss as number) + (short?.loss as number)) / 31, 10);
    expect(accuracy).toBeCloseTo((30 * (long?.accuracy as number) + (short?.accuracy as number)) / 31, 10);
  });

  it.each([
    [3, 10, [3, 6, 9, 10]],
    [5, 10, [5, 10]],
    [50, 2, [2]],
  ])('hands out a checkpoint every %i of %i steps and at the end', async (everySteps, steps, expected) => {
    const { saved } = await run({ training: { steps }, checkpoints: { everySteps } });
    expect(saved).toEqual(expected);
  });

  it('masks every micro-batch of every step in its own way', async () => {
    const seeds: unknown[] = [];
    const trainStep: Base['trainStep'] = (batch, rows, options) => {
      seeds.push(...rows.map(({ dropoutSeed }) => dropoutSeed));
      return tiny.base.trainStep(batch, rows, options);
    };
    await run({}, { base: { ...tiny.base, trainStep } });
    expect(new Set(seeds).size).toBe(12);
  });

  it('starts without the gradients of a step that was stopped', async () => {
    const adapter = newAdapter();
    await tiny.base.trainStep(toBatch(sequences, [[0]]), [{ adapter, begin: 0, end: 32 }]);
    await run({}, { adapter });
    expect(adapterWeights(adapter).equals(adapterWeights((await run()).adapter))).toBe(true);
  });

  it('has nothing left to do at the last step', async () => {
    const whole = await run({}, { evaluation: held });
    const again = await run({}, { evaluation: held, progress: whole.progress, adapter: whole.adapter });
    expect([again.metrics, again.saved, again.error]).toEqual([[], [], null]);
  });

  it('goes on from any step to the same bytes', async () => {
    const changes = { training: { steps: 6 }, evaluation: { everySteps: 2 } };
    const states: { progress: Progress; state: Uint8Array }[] = [];
    const adapter = newAdapter(0.2);
    const whole = await run(changes, {
      adapter,
      evaluation: held,
      onProgress: (progress) => states.push({ progress, state: adapter.exportState() }),
    });
    const wanted = adapterWeights(adapter);
    expect(states).toHaveLength(6 + 4);
    for (const { progress, state } of states) {
      const resumed = newAdapter(0.2);
      resumed.importState(state);
      const { metrics } = await run(changes, { adapter: resumed, evaluation: held, progress });
      expect(adapterWeights(resumed).equals(wanted)).toBe(true);
      const left = whole.metrics.slice(whole.metrics.length - metrics.length);
      expect(metrics.map(({ kind, loss }) => [kind, loss])).toEqual(
        left.map(({ kind, loss }) => [kind, loss]),
      );
    }
  });
});

describe('a signal', () => {
  it('within a step leaves the adapter as after the step before', async () => {
    const stop = new AbortController();
    let calls = 0;
    const trainStep: Base['trainStep'] = (batch, rows, options) => {
      // The second micro-batch of the third step.
      if ((calls += 1) === 8) stop.abort('cancel');
      return tiny.base.trainStep(batch, rows, options);
    };
    const stopped = await run({}, { base: { ...tiny.base, trainStep }, signal: stop.signal });
    expect(stopped.error).toMatchObject({ status: 'cancelled' });
    expect(stopped.progress.step).toBe(2);

    const states = new Map<number, Uint8Array>();
    const adapter = newAdapter();
    await run({}, { adapter, onProgress: ({ step }) => states.set(step, adapter.exportState()) });
    expect(Buffer.from(stopped.adapter.exportState()).equals(states.get(2) as Uint8Array)).toBe(true);
  });

  it('between steps ends it with the reason', async () => {
    const stop = new AbortController();
    const onMetric = (): void => stop.abort('drain');
    const { error, progress } = await run({}, { signal: stop.signal, onMetric });
    expect(error).toBe('drain');
    expect(progress.step).toBe(1);
  });
});

describe('a loss that is not finite', () => {
  it.each([NaN, Infinity])('from weights of %d stops after three steps, without a metric', async (value) => {
    const adapter = newAdapter();
    adapter.write(0, adapter.read(0).fill(value));
    const { error, metrics } = await run({}, { adapter });
    expect(error).toMatchObject({ code: 'loss_not_finite', message: expect.stringMatching(/step 3 /) });
    expect(metrics).toEqual([]);
  });

  it.each([NaN, Infinity])('of %d on held-out data stops too', async (sum) => {
    let calls = 0;
    const evalStep: Base['evalStep'] = async (...given) => {
      const losses = await tiny.base.evalStep(...given);
      return (calls += 1) === 2 ? losses.map((loss) => ({ ...loss, sum })) : losses;
    };
    const { error, metrics, saved } = await run({}, { base: { ...tiny.base, evalStep }, evaluation: held });
    expect(error).toMatchObject({ code: 'loss_not_finite', message: expect.stringMatching(/held-out.* 4 /) });
    expect(stepsOf(metrics, 'eval')).toEqual([0]);
    expect(saved).toEqual([]);
  });
});
