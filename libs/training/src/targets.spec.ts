import { makeRecipe } from '@lowrank/testing';
import { matchesTarget, resolveTargets, targetModules } from './targets';

const linears = [0, 1].flatMap((layer) =>
  ['self_attn.q_proj', 'self_attn.v_proj', 'mlp.up_proj'].map((name) => ({
    name: `model.layers.${layer}.${name}`,
    in: 32,
    out: 32,
  })),
);
const lora = (targets: string[] | 'all-linear', alpha = 8) =>
  makeRecipe({ lora: { rank: 4, alpha, targets } }).lora;
const names = (targets: string[] | 'all-linear'): string[] =>
  resolveTargets(linears, lora(targets)).map(({ name }) => name);

describe('targets', () => {
  it.each([
    ['model.layers.0.self_attn.q_proj', 'q_proj', true],
    ['model.layers.0.self_attn.q_proj', 'self_attn.q_proj', true],
    ['model.layers.0.self_attn.q_proj', 'model.layers.0.self_attn.q_proj', true],
    ['model.layers.10.self_attn.q_proj', '0.self_attn.q_proj', false],
    ['model.layers.0.self_attn.q_proj', 'proj', false],
    ['model.layers.0.self_attn.q_proj', 'self_attn', false],
    ['model.layers.0.self_attn.q_proj', 'q.proj', false],
  ])('%s called %s: %s', (module, target, expected) => {
    expect(matchesTarget(module, target)).toBe(expected);
  });

  it('come in the order of the base, each once', () => {
    expect(names('all-linear')).toEqual(linears.map(({ name }) => name));
    expect(names(['up_proj', 'q_proj', 'self_attn.q_proj'])).toEqual([
      'model.layers.0.self_attn.q_proj',
      'model.layers.0.mlp.up_proj',
      'model.layers.1.self_attn.q_proj',
      'model.layers.1.mlp.up_proj',
    ]);
    expect(names(['1.mlp.up_proj'])).toEqual(['model.layers.1.mlp.up_proj']);
  });

  it('carry rank and alpha / rank', () => {
    expect(resolveTargets(linears, lora(['0.mlp.up_proj'], 6))).toEqual([
      { name: 'model.layers.0.mlp.up_proj', rank: 4, scale: 1.5 },
    ]);
  });

  it('that no layer has are named, with what there is', () => {
    let thrown: unknown;
    try {
      resolveTargets(linears, lora(['nose_proj', 'q_proj', 'ear_proj']));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({
      code: 'recipe_invalid',
      message:
        'lora.targets: no linear layer is called nose_proj, ear_proj; there are q_proj, up_proj, v_proj',
      details: [
        { path: 'lora.targets', message: 'unknown target nose_proj' },
        { path: 'lora.targets', message: 'unknown target ear_proj' },
      ],
    });
  });

  it('are written for PEFT as sorted names', () => {
    expect(targetModules(linears, lora('all-linear'))).toEqual(['q_proj', 'up_proj', 'v_proj']);
    expect(targetModules(linears, lora(['v_proj', '0.mlp.up_proj', 'v_proj']))).toEqual([
      '0.mlp.up_proj',
      'v_proj',
    ]);
  });
});
