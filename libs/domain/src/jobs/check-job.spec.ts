import { World } from '../test/world';

let world: World;
beforeEach(() => (world = new World()));

const of = (format: string) => Object.assign(world.tables.datasets[0] as object, { format });

describe('the objective of a job', () => {
  it.each([
    ['chat', { type: 'sft' }],
    ['alpaca', { type: 'sft' }],
    ['preference', { type: 'dpo' }],
    ['preference', { type: 'orpo' }],
  ])('takes a dataset of %s for %j', async (format, objective) => {
    of(format);
    const job = await world.submit({ recipe: { objective } });
    expect(job.recipe.objective).toMatchObject(objective);
  });

  it.each([
    ['preference', { objective: { type: 'sft' } }, 'recipe.objective', /choose 'dpo' or 'orpo'/],
    ['preference', {}, 'recipe.objective', /choose 'dpo' or 'orpo'/],
    ['chat', { objective: { type: 'dpo' } }, 'recipe.objective', /format 'preference'.*is 'chat'/],
    [
      'preference',
      { objective: { type: 'dpo' }, training: { labelSmoothing: 0.1 } },
      'recipe.training.labelSmoothing',
      /objective\.labelSmoothing/,
    ],
    [
      'preference',
      { objective: { type: 'orpo' }, training: { labelSmoothing: 0.1 } },
      'recipe.training.labelSmoothing',
      /set it to 0/,
    ],
  ])('refuses a dataset of %s for %j', async (format, recipe, path, message) => {
    of(format);
    await expect(world.submit({ recipe })).rejects.toMatchObject({
      code: 'recipe_invalid',
      message: expect.stringMatching(message),
      details: [{ path }],
    });
    expect(world.tables.jobs).toEqual([]);
  });
});
