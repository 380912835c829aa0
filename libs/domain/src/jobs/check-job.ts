import {
  type AdapterVersion,
  type BaseModel,
  type Dataset,
  type ErrorDetail,
  linearLayers,
  LowrankError,
  type Recipe,
} from '@lowrank/contracts';
import { type PatternTime, patternTime } from '../recipe/patterns';
import { chooseTargets, describeProblems } from '../recipe/targets';

/** Milliseconds that a recipe's patterns may hold up everyone else here: normal ones take a few. */
const patternMs = 200;

export interface Checked {
  baseModel: BaseModel;
  dataset: Dataset;
  /** Left out or null: rows of the dataset are held out. */
  validationDataset?: Dataset | null;
}

/**
 * What a schema cannot see: whether a recipe fits this base model and dataset. Recipes that are checked together share `time`.
 * Errors: base_model_not_ready, dataset_empty, recipe_invalid with every field at fault in details.
 */
export function checkJob(
  recipe: Recipe,
  { baseModel, dataset, validationDataset = null }: Checked,
  time: PatternTime = patternTime(patternMs),
): void {
  if (baseModel.status !== 'ready')
    throw new LowrankError(
      'base_model_not_ready',
      `Base model '${baseModel.name}' is ${baseModel.status}, not ready.`,
    );
  for (const one of [dataset, validationDataset])
    if (one !== null && (one.rows === 0 || one.lossTokens === 0))
      throw new LowrankError(
        'dataset_empty',
        `Dataset ${one.id} (${one.filename}) has no row with an assistant answer to learn from.`,
      );
  const details = [
    ...checkObjective(recipe, dataset),
    ...checkSequenceLength(recipe, baseModel),
    ...checkTargets(recipe, baseModel, time),
    ...(validationDataset === null
      ? checkEvaluation(recipe, dataset)
      : checkValidation(dataset, validationDataset)),
  ];
  if (details.length > 0)
    throw new LowrankError(
      'recipe_invalid',
      `The recipe does not fit base model '${baseModel.name}' and dataset ${dataset.id}: ${describeProblems(details)}.`,
      details,
    );
}

function* checkObjective({ objective, training }: Recipe, dataset: Dataset): Generator<ErrorDetail> {
  const pairs = dataset.format === 'preference';
  if (objective.type === 'sft' && pairs)
    yield {
      path: 'recipe.objective',
      message: `'sft' learns from one answer a row, and ${dataset.id} has two; choose 'dpo' or 'orpo', or a dataset of chats`,
    };
  if (objective.type === 'sft') return;
  if (!pairs)
    yield {
      path: 'recipe.objective',
      message: `'${objective.type}' needs a dataset of format 'preference', with a chosen and a rejected answer a row; ${dataset.id} is '${dataset.format}'`,
    };
  if (training.labelSmoothing > 0)
    yield {
      path: 'recipe.training.labelSmoothing',
      message: `smooths the loss of 'sft'; ${objective.type === 'dpo' ? "'dpo' has objective.labelSmoothing" : `set it to 0 for '${objective.type}'`}`,
    };
}

function* checkSequenceLength({ training }: Recipe, baseModel: BaseModel): Generator<ErrorDetail> {
  if (training.sequenceLength > baseModel.contextLength)
    yield {
      path: 'recipe.training.sequenceLength',
      message: `${training.sequenceLength} tokens are more than the ${baseModel.contextLength} that ${baseModel.name} can see`,
    };
}

function checkTargets({ lora }: Recipe, { decoder }: BaseModel, time: PatternTime): ErrorDetail[] {
  if (decoder === null) return []; // the trainer, which opens the model, finds out
  return chooseTargets(linearLayers(decoder), lora, time).problems;
}

/**
 * Whether a version's result can be compared on a dataset: rows of pairs only where it was trained on pairs, and the other way round.
 * Error: validation_failed.
 */
export function checkMeasured(
  { recipe }: Pick<AdapterVersion, 'recipe'>,
  dataset: Dataset,
  validationDataset: Dataset | null,
): void {
  const { filename, format } = validationDataset ?? dataset;
  const wantsPairs = recipe.objective.type !== 'sft';
  if (wantsPairs === (format === 'preference')) return;
  const message = `must ${wantsPairs ? 'have' : 'not have'} pairs of answers, as what the version was trained on`;
  const path = validationDataset === null ? 'dataset' : 'validationDataset';
  throw new LowrankError('validation_failed', `${filename} cannot be compared on: it ${message}.`, [
    { path, message },
  ]);
}

function* checkValidation(dataset: Dataset, validation: Dataset): Generator<ErrorDetail> {
  const hasPairs = ({ format }: Dataset) => format === 'preference';
  if (hasPairs(dataset) !== hasPairs(validation))
    yield {
      path: 'validationDataset',
      message: `${validation.id} is '${validation.format}' and ${dataset.id} is '${dataset.format}': both must have preferences, or neither`,
    };
}

function* checkEvaluation({ evaluation }: Recipe, dataset: Dataset): Generator<ErrorDetail> {
  if (evaluation.fraction > 0 && dataset.rows < 2)
    yield {
      path: 'recipe.evaluation.fraction',
      message: `holding out rows leaves none of ${dataset.rows} to train on; set it to 0`,
    };
}
