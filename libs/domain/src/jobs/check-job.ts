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

function* checkSequenceLength({ training }: Recipe, baseModel: BaseModel): Generator<ErrorDetail> {
  if (training.sequenceLength > baseModel.contextLength)
    yield {
      path: 'recipe.training.sequenceLength',
      message: `${training.sequenceLength} tokens are more than the ${baseModel.contextLength} that ${baseModel.name} can see`,
    };
}

function* checkTargets(targets: Recipe['lora']['targets']): Generator<ErrorDetail> {
  if (targets === 'all-linear') return;
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
