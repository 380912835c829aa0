import { recipeSchema, type RecipeInput } from '@lowrank/contracts';
import { resolveTargets, targetModules } from './targets';

const parts = ['self_attn.q_proj', 'self_attn.v_proj', 'mlp.up_proj', 'mlp.down_proj'];
const linears = [0, 1, 2].flatMap((layer) =>
  parts.map((part) => ({
    name: `model.layers.${layer}.${part}`,
    in: 8,
    out: 8,
    bias: part === 'self_attn.q_proj',
    storage: 'nf4' as const,
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
    expect(() => names({ targets: [target] })).toThrow(/is no linear layer of this base/);
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
    expect(() => names({ targets: 'up_proj' })).toThrow(/targets: up_proj is no linear layer/);
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
    [{ targets: ['q_proj', 'nose_proj'] }, /targets: nose_proj is no linear layer/],
    [{ exclude: ['lm_head'] }, /exclude: lm_head is no linear layer/],
    [{ layers: [1, 3] }, /layers: 3 is no layer/],
    [{ rankPattern: { proj_q: 4 } }, /rankPattern: proj_q matches no adapted layer/],
    [{ targets: ['q_proj'], alphaPattern: { v_proj: 4 } }, /alphaPattern: v_proj matches no adapted layer/],
    [
      { rankPattern: { q_proj: 4, 'self_attn.q_proj': 8 } },
      /self_attn.q_proj matches .*as does a pattern before it/,
    ],
    [{ targets: ['q_proj'], exclude: ['q_proj'] }, /leaves nothing to adapt/],
    [{ targets: '((((.+)+)+)+)+x' }, /cannot be used: .*timed out/],
  ])('refuses %j', (input, message) => {
    expect(() => names(input)).toThrow(message);
  });

  it('tells PEFT the same', () => {
    expect(targetModules(linears, lora({}))).toEqual(['down_proj', 'q_proj', 'up_proj', 'v_proj']);
    expect(targetModules(linears, lora({ targets: '.*q_proj' }))).toBe('.*q_proj');
  });
});
