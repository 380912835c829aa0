import { parse } from 'yaml';
import { changesFrom, differences, fieldAt, fieldsOf, withField } from './recipe';
import { toYaml } from './yaml';

const recipe = {
  lora: { rank: 16, targets: ['q_proj'], rankPattern: {} },
  training: { epochs: 3, steps: null },
};

it('tells fields by their paths, and sets one', () => {
  expect(fieldsOf(recipe)).toEqual({
    'lora.rank': 16,
    'lora.targets': ['q_proj'],
    'lora.rankPattern': {},
    'training.epochs': 3,
    'training.steps': null,
  });
  const changed = withField(recipe, 'lora.rank', 8);
  expect([fieldAt(changed, 'lora.rank'), recipe.lora.rank, fieldAt(changed, 'no.such')]).toEqual([
    8,
    16,
    undefined,
  ]);
});

it('tells differences', () => {
  const other = { ...recipe, lora: { ...recipe.lora, rank: 8 }, extra: true };
  expect(differences([recipe, other])).toEqual([
    { path: 'lora.rank', values: ['16', '8'] },
    { path: 'extra', values: ['–', 'true'] },
  ]);
  expect(changesFrom(recipe, withField(recipe, 'training.steps', 100))).toEqual({ training: { steps: 100 } });
});

it('takes patterns as they are, whose keys have dots', () => {
  const patterned = { lora: { ...recipe.lora, rankPattern: { 'layers.0.q_proj': 8, v_proj: 4 } } };
  expect(fieldsOf(patterned)['lora.rankPattern']).toEqual({ 'layers.0.q_proj': 8, v_proj: 4 });
  expect(changesFrom(recipe, { ...recipe, ...patterned })).toEqual({
    lora: { rankPattern: { 'layers.0.q_proj': 8, v_proj: 4 } },
  });
  expect(differences([recipe, { ...recipe, ...patterned }])).toEqual([
    { path: 'lora.rankPattern', values: ['{}', '{"layers.0.q_proj":8,"v_proj":4}'] },
  ]);
});

it('writes YAML that a parser reads as what it was', () => {
  const value = {
    baseModel: 'sample',
    odd: ['yes', 'a: b', '#', '', '1e3'],
    text: 'true',
    'key with blanks': 'line\nbreak',
    list: [{ a: 1, b: { c: null } }, { a: 2.5e-5 }],
    empty: {},
    none: [],
    recipe,
  };
  expect(parse(toYaml(value))).toEqual(value);
});
