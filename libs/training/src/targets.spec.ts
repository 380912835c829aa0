import { recipeSchema, type RecipeInput } from '@lowrank/contracts';
import { adapterSpec, targetModules } from './targets';

const linearsOf = (prefix: string) =>
  ['q_proj', 'v_proj'].map((part) => ({
    name: `${prefix}layers.0.self_attn.${part}`,
    in: 8,
    out: 8,
    bias: false,
  }));
const linears = linearsOf('model.');
const lora = (input: RecipeInput['lora']) => recipeSchema.parse({ lora: input }).lora;

it('tells the kernel library what a recipe asks for', () => {
  const recipe = recipeSchema.parse({
    lora: { rank: 4, alpha: 4, dropout: 0.1, targets: ['q_proj'], init: 'pissa', initIterations: 3 },
    optimizer: { name: 'adamw8bit' },
    training: { seed: 7 },
  });
  expect(adapterSpec(linears, recipe)).toEqual({
    targets: [{ name: 'model.layers.0.self_attn.q_proj', rank: 4, scale: 1, dora: false }],
    dropout: 0.1,
    bias: 'none',
    optimizer: 'adamw8bit',
    init: { pissa: { iterations: 3 } },
    seed: 7n,
  });
});

it('tells PEFT the same', () => {
  expect(targetModules(linears, lora({}))).toEqual(['q_proj', 'v_proj']);
  expect(targetModules(linears, lora({ targets: '.*q_proj' }))).toBe('.*q_proj');
  const nested = linearsOf('model.language_model.');
  expect(targetModules(nested, lora({ targets: ['v_proj'] }))).toEqual([nested[1]?.name]);
});
