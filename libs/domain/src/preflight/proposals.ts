import { type Proposal, type Recipe, recipeSchema } from '@lowrank/contracts';

/** Shortest rows that are proposed: below that, little of a conversation is left. */
const shortest = 128;

type Change = Proposal['changes'];

const training = (recipe: Recipe, changes: Partial<Recipe['training']>): Recipe => ({
  ...recipe,
  training: { ...recipe.training, ...changes },
});

/** The same rows in each step, in smaller micro-batches: the loss is normalised over all of them, so nothing else changes. */
function* smallerBatches(recipe: Recipe): Generator<[Change, Recipe]> {
  const { rows, accumulation } = recipe.training;
  for (let fewer = Math.floor(rows / 2); fewer >= 1; fewer = Math.floor(fewer / 2)) {
    const more = Math.ceil((rows * accumulation) / fewer);
    const changed = training(recipe, { rows: fewer, accumulation: more });
    if (!recipeSchema.safeParse(changed).success) return;
    yield [{ 'recipe.training.rows': fewer, 'recipe.training.accumulation': more }, changed];
  }
}

function* checkpointing(recipe: Recipe): Generator<[Change, Recipe]> {
  if (!recipe.training.checkpointActivations)
    yield [
      { 'recipe.training.checkpointActivations': true },
      training(recipe, { checkpointActivations: true }),
    ];
}

function* smallerMoments(recipe: Recipe): Generator<[Change, Recipe]> {
  if (recipe.optimizer.name === 'adamw')
    yield [
      { 'recipe.optimizer.name': 'adamw8bit' },
      { ...recipe, optimizer: { ...recipe.optimizer, name: 'adamw8bit' } },
    ];
}

function* smallerBase(recipe: Recipe): Generator<[Change, Recipe]> {
  if (recipe.base.quantization !== 'nf4' || !recipe.base.doubleQuantization)
    yield [
      { 'recipe.base.quantization': 'nf4', 'recipe.base.doubleQuantization': true },
      { ...recipe, base: { quantization: 'nf4', doubleQuantization: true } },
    ];
}

function* shorterRows(recipe: Recipe): Generator<[Change, Recipe]> {
  for (let length = recipe.training.sequenceLength / 2; length >= shortest; length /= 2)
    yield [
      { 'recipe.training.sequenceLength': Math.floor(length) },
      training(recipe, { sequenceLength: Math.floor(length) }),
    ];
}

/** Those that change nothing of what is learnt first. */
const ways = [checkpointing, smallerBatches, smallerMoments, smallerBase, shorterRows];

/**
 * Settings with which a recipe takes no more than `room` bytes: of each kind of change the smallest that suffices; where none does by
 * itself, as many kinds together as it takes. Empty when nothing helps. `bytesOf` predicts; null: it cannot.
 */
export async function proposeChanges(
  recipe: Recipe,
  room: number,
  bytesOf: (recipe: Recipe) => Promise<number | null>,
): Promise<Proposal[]> {
  const proposals: Proposal[] = [];
  for (const way of ways) {
    for (const [changes, changed] of way(recipe)) {
      const bytes = await bytesOf(changed);
      if (bytes === null || bytes > room) continue;
      proposals.push({ changes, bytes });
      break;
    }
  }
  if (proposals.length > 0) return proposals;
  let together: { changes: Change; recipe: Recipe } = { changes: {}, recipe };
  for (const way of ways) {
    for (const [changes, changed] of way(together.recipe)) {
      together = { changes: { ...together.changes, ...changes }, recipe: changed };
      const bytes = await bytesOf(changed);
      if (bytes !== null && bytes <= room) return [{ changes: together.changes, bytes }];
    }
  }
  return [];
}
