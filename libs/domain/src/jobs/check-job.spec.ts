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

describe('the layers of a job', () => {
  it.each([
    [{ targets: '.*nose_proj' }, 'recipe.lora.targets', /matches none/],
    [{ targets: ['q_proj', 'embed_tokens'] }, 'recipe.lora.targets.1', /is no linear layer.*q_proj/],
    [{ exclude: ['lm_head'] }, 'recipe.lora.exclude.0', /is no linear layer/],
    [{ targets: ['q_proj'], exclude: ['q_proj'] }, 'recipe.lora.targets', /nothing is left/],
    [{ layers: [0, 2] }, 'recipe.lora.layers.1', /2 is no layer/],
    [{ targets: ['q_proj'], rankPattern: { v_proj: 8 } }, 'recipe.lora.rankPattern', /no adapted layer/],
    [{ alphaPattern: { x_proj: 8 } }, 'recipe.lora.alphaPattern', /no adapted layer/],
    [{ targets: '((((.+)+)+)+)+x' }, 'recipe.lora.targets', /takes too long/],
    [{ bias: 'all' }, 'recipe.lora.bias', /have none/],
    [{ init: 'pissa', rank: 33 }, 'recipe.lora.rank', /singular values/],
  ])('are refused for %j', async (lora, path, message) => {
    await expect(world.submit({ recipe: { lora } })).rejects.toMatchObject({
      code: 'recipe_invalid',
      message: expect.stringMatching(message),
      details: [{ path }],
    });
    expect(world.tables.jobs).toEqual([]);
  });

  it.each([
    { targets: String.raw`.*layers\.1\..*(q|v)_proj`, rankPattern: { q_proj: 8 } },
    { layers: [1], exclude: ['mlp.down_proj'], alphaPattern: { '1.self_attn.v_proj': 2 } },
  ])('are accepted for %j', async (lora) => {
    expect(await world.submit({ recipe: { lora } })).toMatchObject({ state: 'queued' });
  });

  it("are the trainer's business where an older import did not keep them", async () => {
    Object.assign(world.tables.baseModels[0] as object, { decoder: null });
    expect(await world.submit({ recipe: { lora: { targets: ['nose_proj'] } } })).toMatchObject({
      state: 'queued',
    });
  });
});
