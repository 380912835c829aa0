import { recipeSchema } from '@lowrank/contracts';
import { fieldsOf } from '../../lib/recipe';
import { mainKnobs, objectiveKnobs, objectives } from './knobs';
import { moreKnobs } from './seldom-knobs';

/** Fields that the form sets in other ways, or leaves to other clients. */
const exceptions = [
  // A choice of its own, with the words of people.
  'objective.type',
  // Names to numbers: for those who write recipes as files. A clone keeps them.
  'lora.rankPattern',
  'lora.alphaPattern',
];

it.each(Object.keys(objectives) as (keyof typeof objectives)[])(
  'there is one for every field of a recipe for %s',
  (type) => {
    const knobs = [...mainKnobs, ...objectiveKnobs[type], ...moreKnobs.flatMap((section) => section.knobs)];
    const smoothing = type === 'sft' ? [] : ['training.labelSmoothing'];
    const fields = Object.keys(fieldsOf(recipeSchema.parse({ objective: { type } })));
    expect([...knobs.map(({ path }) => path), ...exceptions, ...smoothing].sort()).toEqual(fields.sort());
  },
);

it.each(Object.keys(objectives) as (keyof typeof objectives)[])('%s begins as it does by default', (type) =>
  expect(objectives[type]).toEqual(recipeSchema.parse({ objective: { type } }).objective),
);
