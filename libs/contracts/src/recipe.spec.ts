import { evaluationStep, recipeSchema } from './recipe';

describe('recipeSchema', () => {
  it('fills in every default, so that the stored recipe says everything', () => {
    const recipe = recipeSchema.parse({});
    expect(recipe.base).toEqual({ quantization: 'nf4', doubleQuantization: true });
    expect(recipe.lora).toEqual({
      rank: 16,
      alpha: 32,
      dropout: 0,
      targets: 'all-linear',
      exclude: [],
      layers: null,
      rankPattern: {},
      alphaPattern: {},
      rsLora: false,
      dora: false,
      bias: 'none',
      init: 'default',
      initIterations: 8,
      dtype: 'bf16',
    });
    expect(recipe.optimizer).toMatchObject({ name: 'adamw', loraPlusRatio: 1 });
    expect(recipe.training.sequenceLength).toBe(512);
    expect(recipe.optimizer.schedule).toBe('cosine');
    expect(recipe.evaluation).toEqual({ fraction: 0.05, everySteps: null, at: [] });
    expect(recipe.checkpoints.everySteps).toBe(50);
  });

  it.each([
    [0.1, 30, 3],
    [0.1, 31, 4],
    [0.7, 10, 7],
    [0.001, 10, 1],
    [12, 10, 12],
  ])('has the evaluation point %d of %i steps after step %i', (point, totalSteps, step) => {
    expect(recipeSchema.parse({ evaluation: { at: [point] } }).evaluation.at).toEqual([point]);
    expect(evaluationStep(point, totalSteps)).toBe(step);
  });

  it.each([0, 1.5, -1])('has no evaluation point %d', (point) => {
    expect(recipeSchema.safeParse({ evaluation: { at: [point] } }).success).toBe(false);
  });

  it('is a fixed point: parsing a parsed recipe changes nothing', () => {
    const recipe = recipeSchema.parse({ lora: { rank: 8, targets: ['q_proj'] }, training: { steps: 7 } });
    expect(recipeSchema.parse(recipe)).toEqual(recipe);
  });

  it('takes alpha as twice the rank unless it is given', () => {
    expect(recipeSchema.parse({ lora: { rank: 4 } }).lora.alpha).toBe(8);
    expect(recipeSchema.parse({ lora: { rank: 4, alpha: 3 } }).lora.alpha).toBe(3);
  });

  it.each([
    ['an unknown storage', { base: { quantization: 'int4' } }],
    ['rank 0', { lora: { rank: 0 } }],
    ['a fractional rank', { lora: { rank: 1.5 } }],
    ['dropout 1', { lora: { dropout: 1 } }],
    ['no targets', { lora: { targets: [] } }],
    ['a pattern that is none', { lora: { targets: '(q_proj' } }],
    ['layers beside a pattern', { lora: { targets: '.*q_proj', layers: [0] } }],
    ['DoRA with PiSSA', { lora: { dora: true, init: 'pissa' } }],
    ['PiSSA of a rank that cannot be published', { lora: { init: 'pissa', rankPattern: { q_proj: 300 } } }],
    ['LoRA+ with no rate for B', { optimizer: { loraPlusRatio: 0 } }],
    ['rank 0 for some', { lora: { rankPattern: { q_proj: 0 } } }],
    ['an infinite learning rate', { optimizer: { learningRate: Infinity } }],
    ['a misspelt field', { lora: { rnak: 8 } }],
    ['zero epochs', { training: { epochs: 0 } }],
  ])('refuses %s', (_title, input) => {
    expect(recipeSchema.safeParse(input).success).toBe(false);
  });
});
