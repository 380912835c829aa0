import { recipeSchema } from './recipe';

describe('the objective of a recipe', () => {
  it.each([
    [undefined, { type: 'sft' }],
    [{ type: 'dpo' }, { type: 'dpo', beta: 0.1, labelSmoothing: 0 }],
    [{ type: 'orpo' }, { type: 'orpo', lambda: 0.1 }],
  ])('of %j is %j', (objective, expected) => {
    const recipe = recipeSchema.parse({ objective });
    expect(recipe.objective).toEqual(expected);
    expect(recipe.training).toMatchObject({ labelSmoothing: 0, neftuneAlpha: 0 });
    expect(recipeSchema.parse(recipe)).toEqual(recipe);
  });

  it.each([
    { objective: { type: 'ppo' } },
    { objective: { type: 'sft', beta: 1 } },
    { objective: { type: 'dpo', beta: 0 } },
    { objective: { type: 'dpo', labelSmoothing: 0.5 } },
    { objective: { type: 'orpo', lambda: -1 } },
    { training: { labelSmoothing: 1 } },
    { training: { neftuneAlpha: -1 } },
  ])('is not %j', (input) => {
    expect(recipeSchema.safeParse(input).success).toBe(false);
  });
});
