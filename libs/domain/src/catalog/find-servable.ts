import {
  type AdapterVersion,
  type BaseModel,
  LowrankError,
  type Mix,
  recipeSchema,
  type ServeTarget,
} from '@lowrank/contracts';
import { isDeepStrictEqual } from 'node:util';
import { found } from '../not-found';
import { type Repositories } from '../ports/repositories';
import { findModel, type ModelRepositories } from './find-model';

export interface Servable {
  target: ServeTarget;
  /** `captain@v3`, or of a base model: the same by whatever name it was asked for. */
  name: string;
}

/**
 * What a `model` of a completion names, as findModel finds it, or a mix of adapters on it, and so what has to be loaded.
 * Errors: not_found, base_model_not_ready, validation_failed.
 */
export async function findServable(
  repositories: ModelRepositories,
  teamId: string,
  model: string,
  mix: Mix = [],
): Promise<Servable> {
  const named = await findModel(repositories, teamId, model);
  if (mix.length > 0) {
    if ('version' in named) throw unmixable('model', 'has to name the base model of a mix');
    return mixOf(repositories, teamId, named.baseModel, mix);
  }
  if ('version' in named)
    return { target: await targetOf(repositories, teamId, named.version), name: nameOf(named.version) };
  const { baseModel } = named;
  return { target: { baseModel: readyBase(baseModel, null), adapter: null }, name: baseModel.name };
}

/** All of them are of this base model, and trained on it in one storage, which is what it is kept in. */
async function mixOf(
  repositories: Parameters<typeof findServable>[0],
  teamId: string,
  baseModel: BaseModel,
  mix: Mix,
): Promise<Servable> {
  const parts: NonNullable<ServeTarget['mix']> = [];
  const names: string[] = [];
  let kept: ServeTarget['baseModel'] | null = null;
  for (const [i, { model, weight }] of mix.entries()) {
    const named = await findModel(repositories, teamId, model);
    const path = `lowrank.mix.${i}.model`;
    if (!('version' in named)) throw unmixable(path, `has to name an adapter; ${model} is a base model`);
    if (named.version.baseModel.id !== baseModel.id)
      throw unmixable(
        path,
        `${model} is of base model ${named.version.baseModel.name}, not of ${baseModel.name}`,
      );
    const { id, files, templateSha256, recipe } = named.version;
    kept ??= readyBase(baseModel, named.version);
    if (!isDeepStrictEqual(kept.storage, recipe.base))
      throw unmixable(
        path,
        `${model} was trained on the base model in another storage than the first of the mix`,
      );
    parts.push({ adapter: { id, files, templateSha256 }, weight });
    names.push(nameOf(named.version));
  }
  // Whatever the weights: tokens are counted by what generates them.
  return {
    target: { baseModel: kept ?? readyBase(baseModel, null), adapter: null, mix: parts },
    name: names.join('+'),
  };
}

const nameOf = ({ adapter, number }: AdapterVersion): string => `${adapter}@v${number}`;

const unmixable = (path: string, message: string): LowrankError =>
  new LowrankError('validation_failed', `This mix of adapters is not possible: ${path} ${message}.`, [
    { path, message },
  ]);

/** What has to be loaded for a version. Errors: not_found of its base model; base_model_not_ready. */
export async function targetOf(
  { baseModels }: Pick<Repositories, 'baseModels'>,
  teamId: string,
  version: AdapterVersion,
): Promise<ServeTarget & { adapter: NonNullable<ServeTarget['adapter']> }> {
  const { id, files, templateSha256 } = version;
  const baseModel = found(
    await baseModels.find(teamId, version.baseModel.id),
    'base model',
    version.baseModel.name,
  );
  return { baseModel: readyBase(baseModel, version), adapter: { id, files, templateSha256 } };
}

/** A base is kept as the adapter's recipe keeps it, a bare one as a job would by default. */
function readyBase(
  { name, files, status }: BaseModel,
  version: AdapterVersion | null,
): ServeTarget['baseModel'] {
  if (status !== 'ready')
    throw new LowrankError(
      'base_model_not_ready',
      `Base model ${name} is ${status}, so it cannot answer yet.`,
    );
  const { base: storage } = version?.recipe ?? recipeSchema.parse({});
  return { name, files, storage };
}
