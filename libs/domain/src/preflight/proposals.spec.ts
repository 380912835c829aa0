import { type Recipe, recipeSchema, type RecipeInput } from '@lowrank/contracts';
import { proposeChanges } from './proposals';

/** Bytes that fall with every kind of change. */
const bytesOf = ({ base, optimizer, training }: Recipe): number =>
  (base.quantization === 'nf4' ? 100 : 400) +
  (optimizer.name === 'adamw8bit' ? 10 : 40) +
  training.rows * training.sequenceLength * (training.checkpointActivations ? 1 : 4);
const propose = (input: RecipeInput, room: number) =>
  proposeChanges(recipeSchema.parse(input), room, async (recipe) => bytesOf(recipe));

it('proposes of each kind the smallest change that suffices', async () => {
  const recipe: RecipeInput = {
    base: { quantization: 'int8' },
    training: { rows: 8, accumulation: 3, sequenceLength: 512, checkpointActivations: false },
  };
  expect(await propose(recipe, 5000)).toEqual([
    { changes: { 'recipe.training.checkpointActivations': true }, bytes: 400 + 40 + 4096 },
    { changes: { 'recipe.training.rows': 2, 'recipe.training.accumulation': 12 }, bytes: 400 + 40 + 4096 },
    { changes: { 'recipe.training.sequenceLength': 128 }, bytes: 400 + 40 + 4096 },
  ]);
  expect(await propose(recipe, 16_600)).toContainEqual({
    changes: { 'recipe.base.quantization': 'nf4', 'recipe.base.doubleQuantization': true },
    bytes: 100 + 40 + 16_384,
  });
});

it('takes several kinds together where none suffices by itself', async () => {
  const recipe: RecipeInput = { base: { quantization: 'bf16' }, training: { rows: 4, sequenceLength: 256 } };
  expect(await propose(recipe, 400)).toEqual([
    {
      changes: {
        'recipe.training.rows': 1,
        'recipe.training.accumulation': 4,
        'recipe.optimizer.name': 'adamw8bit',
        'recipe.base.quantization': 'nf4',
        'recipe.base.doubleQuantization': true,
      },
      bytes: 100 + 10 + 256,
    },
  ]);
});

it('proposes nothing where nothing helps, or nothing can be predicted', async () => {
  expect(await propose({}, 10)).toEqual([]);
  expect(await proposeChanges(recipeSchema.parse({}), 1e9, async () => null)).toEqual([]);
});

it('keeps to what a recipe may be', async () => {
  const recipe: RecipeInput = { training: { rows: 2, accumulation: 1000 } };
  // Twice as many micro-batches are more than there may be.
  expect(await propose(recipe, 900)).toEqual([
    { changes: { 'recipe.training.sequenceLength': 256 }, bytes: 100 + 40 + 512 },
  ]);
});
