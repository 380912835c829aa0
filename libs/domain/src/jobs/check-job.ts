import {
  type BaseModel,
  type Dataset,
  type ErrorDetail,
  LowrankError,
  type Recipe,
} from '@lowrank/contracts';

/** Last parts of the names of every linear layer in a decoder block of the supported architectures. */
export const linearModules = [
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
  'qkv_proj',
  'gate_up_proj',
];

/**
 * What a schema cannot see: whether a recipe fits this base model and dataset.
 * Errors: base_model_not_ready, dataset_empty, recipe_invalid with every field at fault in details.
 */
export function checkJob(recipe: Recipe, baseModel: BaseModel, dataset: Dataset): void {
  if (baseModel.status !== 'ready')
    throw new LowrankError(
      'base_model_not_ready',
      `Base model '${baseModel.name}' is ${baseModel.status}, not ready.`,
    );
  if (dataset.rows === 0 || dataset.lossTokens === 0)
    throw new LowrankError(
      'dataset_empty',
      `Dataset ${dataset.id} (${dataset.filename}) has no row with an assistant answer to learn from.`,
    );
  const details = [
    ...checkObjective(recipe, dataset),
    ...checkSequenceLength(recipe, baseModel),
    ...checkTargets(recipe.lora.targets),
    ...checkEvaluation(recipe, dataset),
  ];
  if (details.length > 0)
    throw new LowrankError(
      'recipe_invalid',
      `The recipe does not fit base model '${baseModel.name}' and dataset ${dataset.id}: ${details.map((detail) => `${detail.path}: ${detail.message}`).join('; ')}.`,
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

function* checkTargets(targets: Recipe['lora']['targets']): Generator<ErrorDetail> {
  if (typeof targets === 'string') return; // which names a pattern matches, the trainer finds out
  for (const [index, target] of targets.entries()) {
    if (!linearModules.includes(target.split('.').at(-1) ?? ''))
      yield {
        path: `recipe.lora.targets.${index}`,
        message: `'${target}' names no linear layer; choose among ${linearModules.join(', ')}`,
      };
  }
}

function* checkEvaluation({ evaluation }: Recipe, dataset: Dataset): Generator<ErrorDetail> {
  if (evaluation.fraction > 0 && dataset.rows < 2)
    yield {
      path: 'recipe.evaluation.fraction',
      message: `holding out rows leaves none of ${dataset.rows} to train on; set it to 0`,
    };
}
