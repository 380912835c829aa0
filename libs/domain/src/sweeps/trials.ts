import {
  type AdapterVersion,
  type BaseModel,
  type CreateSweep,
  type Dimension,
  type ErrorDetail,
  LowrankError,
  type Recipe,
  recipeRequestSchema,
  recipeSchema,
} from '@lowrank/contracts';
import { createHash } from 'node:crypto';
import { decideRecipe } from '../recipe/continued';
import { rungsOf } from './asha';

export interface Trial {
  /** From 1. */
  number: number;
  /** Field of the recipe → value. */
  parameters: Record<string, unknown>;
  recipe: Recipe;
}

type Parameters = Trial['parameters'];

/** Draws for each trial that is asked for, before a space counts as used up. */
const drawsPerTrial = 20;
/** Most problems of trials that are reported together. */
export const mostProblems = 20;

/** The recipe that fields mean, or what is wrong with them; paths from the recipe on. */
export type Decide = (
  fields: unknown,
) => { recipe: Recipe } | { issues: { path: string; message: string }[] };

const issuesOf = ({ issues }: Issues): { path: string; message: string }[] =>
  issues.flatMap((issue) =>
    (issue.code === 'unrecognized_keys' ? (issue.keys ?? []) : [null]).map((key) => ({
      path: [...issue.path, ...(key === null ? [] : [key])].map(String).join('.'),
      message: key === null ? issue.message : 'is no field of a recipe',
    })),
  );
/** The part of a zod error that is needed. */
interface Issues {
  issues: readonly { code: string; path: readonly PropertyKey[]; message: string; keys?: string[] }[];
}

/** By default whatever is left out. */
const decideAlone: Decide = (fields) => {
  const parsed = recipeSchema.safeParse(fields);
  return parsed.success ? { recipe: parsed.data } : { issues: issuesOf(parsed.error as Issues) };
};

/** As decideRecipe has it for training that starts from a version. */
export const decideFrom =
  (baseModel: BaseModel, initFrom: AdapterVersion): Decide =>
  (fields) => {
    const parsed = recipeRequestSchema.safeParse(fields);
    if (!parsed.success) return { issues: issuesOf(parsed.error as Issues) };
    try {
      return { recipe: decideRecipe(parsed.data, baseModel, initFrom) };
    } catch (error) {
      if (!(error instanceof LowrankError) || error.code !== 'recipe_invalid') throw error;
      const details = error.details ?? [];
      return {
        issues: details.map(({ path = '', message }) => ({ path: path.replace(/^recipe\./, ''), message })),
      };
    }
  };

/**
 * `decide`: what a recipe that leaves fields out means. The trials of a sweep: a function of the request, so that the same request gives the same trials. No two have the same parameters.
 * Error: recipe_invalid, with every field at fault and the first trial that has it.
 */
export function makeTrials(request: CreateSweep, decide: Decide = decideAlone): Trial[] {
  const { method, space, recipe: common } = request;
  const rungs = method.type === 'asha' ? rungsOf(method) : [];
  const problems = new Problems(space);
  const trials: Trial[] = [];
  for (const [index, parameters] of parametersOf(request).entries()) {
    const number = index + 1;
    const decided = decide(withRungs(withFields(common, parameters), rungs));
    if ('recipe' in decided) {
      const { recipe } = decided;
      trials.push({ number, parameters, recipe });
      problems.add(number, parameters, sweepProblems(recipe, rungs, request));
    } else problems.add(number, parameters, decided.issues);
    if (problems.enough) break;
  }
  problems.throwIfAny();
  return trials;
}

/** What is wrong with trials. The same problem of several trials is told once, for the first of them. */
export class Problems {
  private readonly found = new Map<string, ErrorDetail>();

  constructor(private readonly space: CreateSweep['space']) {}

  get enough(): boolean {
    return this.found.size >= mostProblems;
  }

  /** `path` of a detail: from the recipe on. */
  add(trial: number, parameters: Parameters, details: { path: string; message: string }[]): void {
    for (const { path, message } of details) {
      const field = Object.keys(this.space).find((one) => path === one || path.startsWith(`${one}.`));
      const key = `${path} ${message}`;
      const where = field === undefined ? `recipe.${path}` : `space.${path}`;
      if (!this.found.has(key))
        this.found.set(key, { path: where, message: `trial ${trial} (${describe(parameters)}): ${message}` });
    }
  }

  throwIfAny(): void {
    const details = [...this.found.values()];
    if (details.length === 0) return;
    const first = details[0] as ErrorDetail;
    const more = details.length > 1 ? `; and ${details.length - 1} more` : '';
    const message = `Not every trial of the sweep can run. ${first.path}, ${first.message}${more}.`;
    throw new LowrankError('recipe_invalid', message, details);
  }
}

/** `lora.rank=8, optimizer.learningRate=0.0001` */
export const describe = (parameters: Parameters): string =>
  Object.entries(parameters)
    .map(([field, value]) => `${field}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');

/** What a recipe must have to be compared with others. */
function sweepProblems(
  { evaluation, training }: Recipe,
  rungs: number[],
  { validationDataset }: CreateSweep,
): { path: string; message: string }[] {
  const problems = [];
  if (evaluation.fraction === 0 && validationDataset === null)
    problems.push({
      path: 'evaluation.fraction',
      message: 'must be above 0: trials are compared on held-out rows, unless a validationDataset is given',
    });
  const first = rungs[0];
  if (first !== undefined && training.steps !== null && first >= training.steps)
    problems.push({
      path: 'training.steps',
      message: `${training.steps} steps are over before method.minimum, which is ${first}`,
    });
  return problems;
}

function parametersOf({ method, space }: CreateSweep): Parameters[] {
  if (method.type === 'grid') return combinations(Object.entries(space));
  const drawn = new Map<string, Parameters>();
  for (let draw = 0; draw < method.trials * drawsPerTrial && drawn.size < method.trials; draw++) {
    const parameters = Object.fromEntries(
      Object.entries(space).map(([field, dimension]) => [
        field,
        pick(dimension, uniform(method.seed, draw, field)),
      ]),
    );
    const key = JSON.stringify(parameters);
    if (!drawn.has(key)) drawn.set(key, parameters);
  }
  return [...drawn.values()];
}

/** In the order of the fields, the last one changing fastest; a value that is listed twice counts once. */
function combinations(space: [string, Dimension][]): Parameters[] {
  return space.reduce<Parameters[]>(
    (rows, [field, dimension]) => {
      const values = 'values' in dimension ? dimension.values : [];
      const distinct = [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
      return rows.flatMap((row) => distinct.map((value) => ({ ...row, [field]: value })));
    },
    [{}],
  );
}

/** In [0, 1), by the draw's number and the field's name alone: another field in the space leaves the draws of this one as they are. */
function uniform(seed: number, draw: number, field: string): number {
  const digest = createHash('sha256').update(`${seed} ${draw} ${field}`).digest();
  return Number(digest.readBigUInt64BE() >> 11n) / 2 ** 53;
}

/** The value of a dimension at `u` in [0, 1). Of a range, numbers of four significant digits, or whole ones. */
function pick(dimension: Dimension, u: number): unknown {
  if ('values' in dimension) return dimension.values[Math.floor(u * dimension.values.length)];
  const { min, max, scale, integer } = dimension;
  const [low, high] = integer ? [Math.ceil(min), Math.floor(max) + 1] : [min, max];
  const value = scale === 'log' ? low * (high / low) ** u : low + (high - low) * u;
  const rounded = integer ? Math.floor(value) : Number(value.toPrecision(4));
  return Math.min(max, Math.max(min, rounded));
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function withFields(recipe: Record<string, unknown>, parameters: Parameters): Record<string, unknown> {
  const result = { ...recipe };
  for (const [path, value] of Object.entries(parameters)) {
    const [section = '', field = ''] = path.split('.');
    const old = result[section];
    result[section] = { ...(isObject(old) ? old : {}), [field]: value };
  }
  return result;
}

/** With evaluations at the rungs beside those that the recipe asks for. */
function withRungs(recipe: Record<string, unknown>, rungs: number[]): Record<string, unknown> {
  const { evaluation = {} } = recipe;
  if (rungs.length === 0 || !isObject(evaluation)) return recipe;
  const { at = [] } = evaluation;
  return Array.isArray(at)
    ? { ...recipe, evaluation: { ...evaluation, at: [...new Set([...at, ...rungs])] } }
    : recipe;
}
