import { type LinearLayer, recipeSchema, type RecipeInput } from '@lowrank/contracts';
import { patternTime } from './patterns';
import { chooseTargets, lastParts, resolveTargets } from './targets';

const parts = ['self_attn.q_proj', 'self_attn.v_proj', 'mlp.up_proj', 'mlp.down_proj'];
const linears = [0, 1, 2].flatMap((layer) =>
  parts.map((part): LinearLayer => ({
    name: `model.layers.${layer}.${part}`,
    in: 8,
    out: 8,
    bias: part === 'self_attn.q_proj',
  })),
);
const lora = (input: RecipeInput['lora']) => recipeSchema.parse({ lora: input }).lora;
const names = (input: RecipeInput['lora']) => resolveTargets(linears, lora(input)).map(({ name }) => name);

describe('resolveTargets', () => {
  it.each([
    ['0.self_attn.q_proj', 1],
    ['self_attn.q_proj', 3],
    ['model.layers.0.self_attn.q_proj', 1],
    ['layers.0.self_attn.q_proj', 1],
  ])('%s means %d layer(s): whole parts of the name, from the end', (target, count) => {
    expect(names({ targets: [target] })).toHaveLength(count);
  });

  it.each(['proj', 'self_attn', 'q.proj', '10.self_attn.q_proj'])('%s means none', (target) => {
    expect(() => names({ targets: [target] })).toThrow(/is no linear layer of this base model/);
  });

  it('takes every linear layer for all-linear', () => {
    expect(names({})).toEqual(linears.map(({ name }) => name));
  });

  it('takes last parts and full names', () => {
    expect(names({ targets: ['v_proj', 'model.layers.1.mlp.up_proj'] })).toEqual([
      'model.layers.0.self_attn.v_proj',
      'model.layers.1.self_attn.v_proj',
      'model.layers.1.mlp.up_proj',
      'model.layers.2.self_attn.v_proj',
    ]);
  });

  it('takes a regular expression, which has to match the whole name', () => {
    expect(names({ targets: String.raw`.*layers\.[02]\..*up_proj` })).toEqual([
      'model.layers.0.mlp.up_proj',
      'model.layers.2.mlp.up_proj',
    ]);
    expect(() => names({ targets: 'up_proj' })).toThrow(/targets: up_proj matches none/);
  });

  it('leaves out what exclude names and other layers', () => {
    expect(names({ exclude: ['up_proj', 'down_proj'], layers: [2] })).toEqual([
      'model.layers.2.self_attn.q_proj',
      'model.layers.2.self_attn.v_proj',
    ]);
    expect(names({ exclude: '.*self_attn.*', layers: [0] })).toEqual([
      'model.layers.0.mlp.up_proj',
      'model.layers.0.mlp.down_proj',
    ]);
  });

  it('gives ranks and alphas by pattern, and scales by both', () => {
    const [q, v, up] = resolveTargets(
      linears,
      lora({
        rank: 4,
        alpha: 8,
        rankPattern: { q_proj: 16 },
        alphaPattern: { 'self_attn.v_proj': 2, [String.raw`layers\.0\.mlp\.up_proj`]: 12 },
      }),
    );
    expect(q).toMatchObject({ rank: 16, scale: 0.5 });
    expect(v).toMatchObject({ rank: 4, scale: 0.5 });
    expect(up).toMatchObject({ rank: 4, scale: 3 });
  });

  it('scales by the root of the rank for rsLoRA', () => {
    expect(resolveTargets(linears, lora({ rank: 16, alpha: 8, rsLora: true }))[0]?.scale).toBe(2);
  });

  it.each([
    [{ targets: ['q_proj', 'nose_proj'] }, /targets\.1: nose_proj is no linear layer/],
    [{ exclude: ['lm_head'] }, /exclude\.0: lm_head is no linear layer/],
    [{ layers: [1, 3] }, /layers\.1: 3 is no layer/],
    [{ rankPattern: { proj_q: 4 } }, /rankPattern: proj_q matches no adapted layer/],
    [{ targets: ['q_proj'], alphaPattern: { v_proj: 4 } }, /alphaPattern: v_proj matches no adapted layer/],
    [
      { rankPattern: { q_proj: 4, 'self_attn.q_proj': 8 } },
      /self_attn.q_proj matches .*as does a pattern before it/,
    ],
    [{ targets: ['q_proj'], exclude: ['q_proj'] }, /nothing is left to adapt/],
    [{ targets: '((((.+)+)+)+)+x' }, /takes too long to match/],
    [{ init: 'pissa', rank: 9 }, /rank: 9 is more than model\.layers\.0\.self_attn\.q_proj has/],
    [{ targets: ['up_proj'], bias: 'lora_only' }, /bias: 'lora_only' means no bias/],
  ] satisfies [RecipeInput['lora'], RegExp][])('refuses %j', (input, message) => {
    expect(() => names(input)).toThrow(message);
  });

  it('takes PiSSA of a rank that every adapted layer has, and biases that there are', () => {
    expect(names({ init: 'pissa', rank: 8, bias: 'lora_only' })).toHaveLength(linears.length);
    expect(names({ targets: ['up_proj'], bias: 'all' })).toHaveLength(3);
  });

  it('names every problem with its place', () => {
    const { targets, problems } = chooseTargets(
      linears,
      lora({ targets: ['nose_proj', 'q_proj', 'ear_proj'], exclude: '.*hat', layers: [0, 9] }),
    );
    expect(targets).toEqual([]);
    expect(problems.map(({ path }) => path)).toEqual([
      'recipe.lora.targets.0',
      'recipe.lora.targets.2',
      'recipe.lora.exclude',
      'recipe.lora.layers.1',
    ]);
  });

  it('gives all patterns of a recipe together no more than their time', () => {
    const slow = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`((((.+)+)+)+)+x{${i}}y`, 4]));
    const started = performance.now();
    expect(() => chooseTargets(linears, lora({ rankPattern: slow }), patternTime(50))).toThrow(
      expect.objectContaining({
        code: 'recipe_invalid',
        details: [expect.objectContaining({ path: 'recipe.lora.rankPattern' })],
      }),
    );
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('knows the last parts of names', () => {
    expect(lastParts(linears.map(({ name }) => name))).toEqual(['down_proj', 'q_proj', 'up_proj', 'v_proj']);
  });
});
