import {
  type AdapterVersion,
  type BaseModel,
  LowrankError,
  recipeSchema,
  type ServeTarget,
} from '@lowrank/contracts';
import { found, notFound } from '../not-found';
import { type Repositories } from '../ports/repositories';
import { findVersion } from './find-version';

/** vLLM and LoRAX name versions so, and so does the hub protocol. */
const pinned = /^(.+)-v([1-9]\d{0,8})$/;

/**
 * What a `model` of a completion names, and so what has to be loaded: `name`, `name@v3`, `name@prod` or `name-v3` of an adapter, or a base
 * model, each with the team's own name and a slash before it or not. An adapter goes before a base model of the same name.
 * Errors: not_found, base_model_not_ready.
 */
export async function findServable(
  repositories: Pick<Repositories, 'adapters' | 'aliases' | 'baseModels' | 'teams'>,
  teamId: string,
  model: string,
): Promise<ServeTarget> {
  const { adapters, baseModels, teams } = repositories;
  const own = found(await teams.find(teamId), 'team', teamId).name;
  const named = model.startsWith(`${own}/`) ? model.slice(own.length + 1) : model;
  const [name = '', ref] = named.split('@', 2);
  if (await adapters.find(teamId, name))
    return targetOf(repositories, teamId, await findVersion(repositories, teamId, name, ref ?? 'latest'));
  const [, adapter = '', number] = pinned.exec(named) ?? [];
  if (number !== undefined && (await adapters.find(teamId, adapter)))
    return targetOf(repositories, teamId, await findVersion(repositories, teamId, adapter, number));
  const baseModel = ref === undefined ? await baseModels.find(teamId, name) : null;
  if (baseModel === null) throw notFound('model', model, 'model');
  return { baseModel: readyBase(baseModel, null), adapter: null };
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
