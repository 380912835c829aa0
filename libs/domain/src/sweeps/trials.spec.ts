import { createSweepSchema, type LowrankError } from '@lowrank/contracts';
import { makeTrials } from './trials';

const dataset = `data_${'a'.repeat(24)}`;
const parse = (body: Record<string, unknown>) =>
  createSweepSchema.safeParse({ baseModel: 'tiny', dataset, adapter: 'captain', ...body });
const trialsOf = (body: Record<string, unknown>) => makeTrials(createSweepSchema.parse(parse(body).data));
const problemsOf = (body: Record<string, unknown>) => {
  try {
    trialsOf(body);
  } catch (error) {
    return (error as LowrankError).details?.map(({ path, message }) => `${path}: ${message}`);
  }
  return [];
};
const refusals = (body: Record<string, unknown>) =>
  parse(body).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);

const rate = { min: 1e-5, max: 1e-2, scale: 'log' };

describe('grid', () => {
  it('has every combination in the order of the fields, and each once', () => {
    const trials = trialsOf({
      space: { 'lora.rank': { values: [8, 16, 8] }, 'training.rows': { values: [1, 2] } },
      method: { type: 'grid' },
    });
    expect(trials.map(({ number, parameters }) => [number, ...Object.values(parameters)])).toEqual([
      [1, 8, 1],
      [2, 8, 2],
      [3, 16, 1],
      [4, 16, 2],
    ]);
  });

  it('makes recipes whose other fields follow from those of the trial', () => {
    const trials = trialsOf({
      recipe: { lora: { dropout: 0.1 } },
      space: { 'lora.rank': { values: [8, 64] } },
      method: { type: 'grid' },
    });
    expect(trials.map(({ recipe }) => recipe.lora)).toMatchObject([
      { rank: 8, alpha: 16, dropout: 0.1 },
      { rank: 64, alpha: 128, dropout: 0.1 },
    ]);
  });

  it('needs values, and not too many of them', () => {
    expect(refusals({ space: { 'optimizer.learningRate': rate }, method: { type: 'grid' } })).toEqual([
      "space.optimizer.learningRate: needs values: a range has no grid; or choose the method 'random'",
    ]);
    const values = Array.from({ length: 17 }, (_, i) => i + 1);
    const space = { 'lora.rank': { values }, 'training.rows': { values } };
    expect(refusals({ space, method: { type: 'grid' } })).toEqual([
      'space: has 289 combinations; 256 are allowed',
    ]);
  });
});

describe('random', () => {
  const space = {
    'lora.rank': { min: 4, max: 64, scale: 'log', integer: true },
    'optimizer.learningRate': rate,
    'optimizer.schedule': { values: ['cosine', 'linear'] },
  };
  const parametersOf = (seed: number, overrides = {}) =>
    trialsOf({ space: { ...space, ...overrides }, method: { type: 'random', trials: 200, seed } }).map(
      ({ parameters }) => parameters,
    );

  it('draws the same trials for the same seed, and others for another', () => {
    expect(parametersOf(1)).toEqual(parametersOf(1));
    expect(parametersOf(2)).not.toEqual(parametersOf(1));
  });

  it('leaves the draws of a field as they are when another comes to it', () => {
    const ranks = (rows: Record<string, unknown>[]) => rows.map((row) => row['lora.rank']);
    expect(ranks(parametersOf(1, { 'training.rows': { values: [1, 2, 4] } }))).toEqual(
      ranks(parametersOf(1)),
    );
  });

  it('stays within its ranges and fills them evenly on their scale', () => {
    const rows = parametersOf(7);
    const rates = rows.map((row) => row['optimizer.learningRate'] as number);
    expect(Math.min(...rates)).toBeGreaterThanOrEqual(1e-5);
    expect(Math.max(...rates)).toBeLessThanOrEqual(1e-2);
    // Three decades: a third of the draws in each. Of 200 draws at a third each, six sigma are 40.
    for (const decade of [-5, -4, -3]) {
      const inside = rates.filter((value) => Math.floor(Math.log10(value)) === decade).length;
      expect(Math.abs(inside - 200 / 3)).toBeLessThan(40);
    }
    const ranks = rows.map((row) => row['lora.rank'] as number);
    expect(ranks.every((rank) => Number.isInteger(rank) && rank >= 4 && rank <= 64)).toBe(true);
    expect(Math.min(...ranks)).toBe(4);
    expect(ranks.filter((rank) => rank > 32).length).toBeGreaterThan(20);
  });

  it('draws nothing twice, and fewer trials when there are no more', () => {
    const trials = trialsOf({
      space: { 'lora.rank': { min: 1, max: 3, integer: true }, 'lora.dora': { values: [true, false] } },
      method: { type: 'random', trials: 50 },
    });
    const texts = trials.map(({ parameters }) => JSON.stringify(parameters));
    expect(new Set(texts).size).toBe(6);
    expect(trials.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

describe('asha', () => {
  const asha = (method: Record<string, unknown>, recipe = {}) =>
    trialsOf({
      recipe,
      space: { 'optimizer.learningRate': rate },
      method: { type: 'asha', trials: 2, ...method },
    });

  it('has trials evaluated at every rung, beside the evaluations that the recipe asks for', () => {
    const [byShare] = asha({ minimum: 0.1, reduction: 3 }, { evaluation: { everySteps: 7, at: [0.5] } });
    expect(byShare?.recipe.evaluation).toEqual({ fraction: 0.05, everySteps: 7, at: [0.5, 0.1, 0.3, 0.9] });
    const [bySteps] = asha({ minimum: 50, reduction: 16 });
    expect(bySteps?.recipe.evaluation.at).toEqual([50, 800, 12_800, 204_800, 3_276_800]);
  });

  it('is refused when no trial reaches the first rung', () => {
    expect(() => asha({ minimum: 50 }, { training: { steps: 50 } })).toThrow(
      'recipe.training.steps, trial 1 (optimizer.learningRate=',
    );
  });
});

describe('a sweep that cannot run', () => {
  it('says which trial and which field are at fault, the same problem once', () => {
    expect(
      problemsOf({
        space: { 'lora.rank': { values: [8, 1000, 2000] }, 'lora.dropout': { values: [0, 1] } },
        method: { type: 'grid' },
      }),
    ).toEqual([
      expect.stringMatching(/^space\.lora\.dropout: trial 2 \(lora\.rank=8, lora\.dropout=1\): Too big/),
      expect.stringMatching(/^space\.lora\.rank: trial 3 \(lora\.rank=1000, lora\.dropout=0\): Too big/),
    ]);
  });

  it('knows no fields but those of a recipe', () => {
    expect(
      problemsOf({
        recipe: { trainer: {} },
        space: { 'lora.rnak': { values: [8] } },
        method: { type: 'grid' },
      }),
    ).toEqual([
      'space.lora.rnak: trial 1 (lora.rnak=8): is no field of a recipe',
      'recipe.trainer: trial 1 (lora.rnak=8): is no field of a recipe',
    ]);
    expect(refusals({ space: { rank: { values: [8] } }, method: { type: 'grid' } })).toEqual([
      expect.stringContaining("must be a field of the recipe like 'lora.rank'"),
    ]);
  });

  it('needs rows held out, and refuses what would hold out others or make losses incomparable', () => {
    const space = { 'lora.rank': { values: [8] } };
    expect(problemsOf({ recipe: { evaluation: { fraction: 0 } }, space, method: { type: 'grid' } })).toEqual([
      expect.stringContaining('recipe.evaluation.fraction: trial 1 (lora.rank=8): must be above 0'),
    ]);
    const refused = {
      'evaluation.fraction': { values: [0.1] },
      'training.seed': { values: [1, 2] },
      'objective.beta': { values: [0.1] },
    };
    expect(refusals({ space: refused, method: { type: 'grid' } })).toHaveLength(3);
    expect(
      parse({ space: { 'objective.beta': { values: [0.1] } }, method: { type: 'grid' }, metric: 'accuracy' })
        .success,
    ).toBe(true);
  });

  it.each([
    [{ min: 2, max: 1 }, 'must be above min'],
    [{ min: 0, max: 1, scale: 'log' }, "must be above 0 for the scale 'log'"],
    [{ min: 1.2, max: 1.8, integer: true }, 'leaves no whole number'],
  ])('refuses the range %j', (range, message) => {
    expect(
      JSON.stringify(parse({ space: { 'lora.rank': range }, method: { type: 'random', trials: 2 } }).error),
    ).toContain(message);
  });
});
