import {
  type BaseModel,
  type CreateFineTuningJob,
  type CreateJob,
  createJobSchema,
  type ErrorDetail,
  LowrankError,
  nameSchema,
  type OpenAiHyperparameters,
  paramOf,
  recipeSchema,
} from '@lowrank/contracts';
import { type Trainable } from './models';

/** What `auto` stands for, and multipliers multiply. */
export const defaultRecipe = recipeSchema.parse({});
/** Packed rows in a micro-batch; larger batches are accumulated, so that they take no more memory. */
const rowsAtOnce = defaultRecipe.training.rows;

/** Without the last bits, so that a product of decimal fractions is one again. */
export const rounded = (value: number): number => Number(value.toPrecision(12));

type Fields = Record<string, unknown>;

/**
 * The job that a request of OpenAI's API means, its recipe made of `qlora` and of what else the request says.
 * Error: validation_failed with the fields at fault, one that two places of the request give among them.
 */
export function jobRequestOf(body: CreateFineTuningJob, { baseModel, initFrom }: Trainable): CreateJob {
  const parsed = createJobSchema.safeParse({
    baseModel: baseModel.id,
    dataset: body.training_file,
    validationDataset: body.validation_file ?? null,
    adapter: initFrom !== null && !body.suffix ? initFrom.adapter : adapterOf(body, baseModel),
    initFrom: initFrom && `${initFrom.adapter}@v${initFrom.number}`,
    recipe: recipeOf(body),
    metadata: body.metadata ?? {},
  });
  if (parsed.success) return parsed.data;
  throw invalid(parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })));
}

/** A name of ours from a suffix, which may have any letters. */
function adapterOf({ suffix }: CreateFineTuningJob, { name }: BaseModel): string {
  const text = suffix ?? `${name.slice(0, 93)}-ft`;
  const adapter = text
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/\.{2,}/g, '.')
    .replace(/^[._-]+|[._-]+$/g, '');
  if (nameSchema.safeParse(adapter).success) return adapter;
  throw invalid([{ path: 'suffix', message: 'must have a letter or digit of a to z and 0 to 9' }]);
}

function recipeOf({ qlora, method, hyperparameters, seed }: CreateFineTuningJob): Fields {
  if (method && hyperparameters)
    throw invalid([{ path: 'hyperparameters', message: 'has its place in method' }]);
  const given: OpenAiHyperparameters = chosenBy(method) ?? hyperparameters ?? {};
  const recipe = structuredClone(qlora ?? {});
  const set = (section: string, fields: Fields, path: string) => merge(recipe, section, fields, path);

  if (method) set('objective', { type: method.type === 'dpo' ? 'dpo' : 'sft' }, 'method.type');
  if (isGiven(given.beta)) set('objective', { beta: given.beta }, 'beta');
  if (isGiven(given.n_epochs)) set('training', { epochs: given.n_epochs }, 'n_epochs');
  if (isGiven(given.batch_size)) set('training', batchOf(given.batch_size), 'batch_size');
  if (seed !== undefined && seed !== null) set('training', { seed }, 'seed');
  if (isGiven(given.learning_rate_multiplier)) {
    const learningRate = rounded(defaultRecipe.optimizer.learningRate * given.learning_rate_multiplier);
    set('optimizer', { learningRate }, 'learning_rate_multiplier');
  }
  return recipe;
}

const chosenBy = (method: CreateFineTuningJob['method']): OpenAiHyperparameters | null | undefined =>
  method?.type === 'dpo' ? method.dpo?.hyperparameters : method?.supervised?.hyperparameters;

const isGiven = <T>(value: T | 'auto' | null | undefined): value is T =>
  value !== undefined && value !== null && value !== 'auto';

/** So many packed rows, in micro-batches of equal size. */
function batchOf(rows: number): Fields {
  let atOnce = Math.min(rows, rowsAtOnce);
  while (rows % atOnce !== 0) atOnce -= 1;
  return { rows: atOnce, accumulation: rows / atOnce };
}

/** Adds fields to a section of the recipe. Error: validation_failed when `qlora` has one of them. */
function merge(recipe: Fields, section: string, fields: Fields, path: string): void {
  const there = recipe[section] ?? {};
  // What is no section at all is for the recipe's schema to refuse.
  if (typeof there !== 'object' || Array.isArray(there)) return;
  const twice = Object.keys(fields).find(
    (name) => Object.hasOwn(there, name) && (there as Fields)[name] !== fields[name],
  );
  if (twice !== undefined)
    throw invalid([
      { path, message: `says another thing than qlora.${section}.${twice} does; send one of them` },
    ]);
  recipe[section] = { ...there, ...fields };
}

function invalid(details: ErrorDetail[]): LowrankError {
  const renamed = details.map(({ path = '', message }) => ({ path: paramOf(path), message }));
  const fields = renamed.map(({ path, message }) => `${path}: ${message}`).join('; ');
  return new LowrankError('validation_failed', `The request is not valid: ${fields}.`, renamed);
}
