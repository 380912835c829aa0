import { recipeSchema } from '@lowrank/contracts';
import { recipeDefaults } from './recipe-defaults';

it('are those of the contract', () => expect(recipeDefaults).toEqual(recipeSchema.parse({})));
