import {
  type AdapterVersion,
  type BaseModel,
  type ErrorDetail,
  type Lora,
  LowrankError,
  type LoraRequest,
  type Recipe,
  type RecipeRequest,
  recipeSchema,
} from '@lowrank/contracts';
import { describeProblems } from './targets';

const scaled = (values: Readonly<Record<string, number>>, factor: number): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value * factor]));

/** `lora` of what a recipe has published: PiSSA is published as plain LoRA of twice the rank, and of the same scale. */
export function publishedLora({ lora }: Recipe): Lora {
  if (lora.init !== 'pissa') return lora;
  const alphaFactor = lora.rsLora ? Math.SQRT2 : 2;
  return {
    ...lora,
    init: 'default',
    rank: 2 * lora.rank,
    alpha: alphaFactor * lora.alpha,
    rankPattern: scaled(lora.rankPattern, 2),
    alphaPattern: scaled(lora.alphaPattern, alphaFactor),
  };
}

/** Fields of `lora` that say how to train and to publish, not what the adapter is: whoever trains on may choose them. */
const freeFields: readonly (keyof Lora)[] = ['dropout', 'initIterations', 'dtype'];

/** Equal as far as an adapter's shape goes: the order of names and layers says nothing. */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return JSON.stringify([...value].sort());
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return JSON.stringify(Object.entries(value).sort());
};

function* conflicts(asked: LoraRequest, has: Lora, name: string): Generator<ErrorDetail> {
  for (const key of Object.keys(asked) as (keyof Lora)[]) {
    const value = asked[key];
    if (value === undefined || freeFields.includes(key) || canonical(value) === canonical(has[key])) continue;
    yield {
      path: `recipe.lora.${key}`,
      message: `is ${JSON.stringify(value)}, and ${name} has ${JSON.stringify(has[key])}; leave it out`,
    };
  }
}

/**
 * The recipe that a request means, every field decided: `lora` is that of the version that training starts from, or else by default.
 * Error: recipe_invalid with every field that the version contradicts.
 */
export function decideRecipe(
  request: RecipeRequest,
  baseModel: BaseModel,
  initFrom: AdapterVersion | null,
): Recipe {
  if (initFrom === null) return recipeSchema.parse(request);
  const name = `${initFrom.adapter}@v${initFrom.number}`;
  const has = publishedLora(initFrom.recipe);
  const { lora: asked = {} } = request;
  const details: ErrorDetail[] = [...conflicts(asked, has, name)];
  if (initFrom.baseModel.revision !== baseModel.revision)
    details.unshift({
      path: 'initFrom',
      message: `${name} is for base model '${initFrom.baseModel.name}', revision ${initFrom.baseModel.revision}`,
    });
  const { dropout = has.dropout, initIterations = has.initIterations, dtype = has.dtype } = asked;
  const decided = recipeSchema.safeParse({ ...request, lora: { ...has, dropout, initIterations, dtype } });
  if (!decided.success)
    details.push(
      ...decided.error.issues.map(({ path, message }) => ({ path: `recipe.${path.join('.')}`, message })),
    );
  if (details.length > 0 || !decided.success)
    throw new LowrankError(
      'recipe_invalid',
      `Training cannot go on from ${name} like this: ${describeProblems(details)}.`,
      details,
    );
  return decided.data;
}
