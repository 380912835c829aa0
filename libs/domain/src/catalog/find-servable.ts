import {
  type AdapterVersion,
  type BaseModel,
  LowrankError,
  recipeSchema,
  type ServeTarget,
} from '@lowrank/contracts';
import { found } from '../not-found';
import { type Repositories } from '../ports/repositories';
import { findModel } from './find-model';

export interface Servable {
  target: ServeTarget;
  /** `captain@v3`, or of a base model: the same by whatever name it was asked for. */
  name: string;
}

/**
 * What a `model` of a completion names, as findModel finds it, and so what has to be loaded.
 * Errors: not_found, base_model_not_ready.
 */
export async function findServable(
  repositories: Pick<Repositories, 'adapters' | 'aliases' | 'baseModels' | 'teams'>,
  teamId: string,
  model: string,
): Promise<Servable> {
  const named = await findModel(repositories, teamId, model);
  if ('version' in named) {
    const { adapter, number } = named.version;
    return { target: await targetOf(repositories, teamId, named.version), name: `${adapter}@v${number}` };
  }
  const { baseModel } = named;
  return { target: { baseModel: readyBase(baseModel, null), adapter: null }, name: baseModel.name };
}

async function targetOf(
  { baseModels }: Pick<Repositories, 'baseModels'>,
  teamId: string,
  version: AdapterVersion,
): Promise<ServeTarget> {
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
