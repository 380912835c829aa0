import {
  type AdapterVersion,
  type BaseModel,
  checkpointRef,
  LowrankError,
  nameSchema,
  readCheckpointRef,
  versionRefSchema,
} from '@lowrank/contracts';
import { found, notFound } from '../not-found';
import { type Repositories } from '../ports/repositories';
import { findVersion } from './find-version';

/** vLLM and LoRAX name versions so, and so does the hub protocol. */
const pinned = /^(.+)-v([1-9]\d{0,8})$/;
/** Where a base model of a hub came from. */
const sourceName = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/;

/** Where models are found. */
export type ModelRepositories = Pick<
  Repositories,
  'adapters' | 'aliases' | 'baseModels' | 'checkpoints' | 'jobs' | 'teams'
>;

export type Model = { version: AdapterVersion } | { baseModel: BaseModel };

/**
 * What a `model` of OpenAI's API names: `name`, `name@v3`, `name@prod` or `name-v3` of an adapter, `name@job_…-step-50` of one of its checkpoints that is a version, or a base model, each with the team's own
 * name and a slash before it or not; or a base model by where it came from, as `org/model`. Of equal names the first in this order wins.
 * Error: not_found.
 */
export async function findModel(
  repositories: ModelRepositories,
  teamId: string,
  model: string,
): Promise<Model> {
  const { adapters, teams } = repositories;
  const own = found(await teams.find(teamId), 'team', teamId).name;
  const named = model.startsWith(`${own}/`) ? model.slice(own.length + 1) : model;
  const [name = '', ...refs] = named.split('@');
  const ref = refs.length === 0 ? 'latest' : refs.join('@');
  const [, adapter = '', number] = pinned.exec(named) ?? [];
  const versionOf = async (of: string, at: string): Promise<Model> => {
    const checkpoint = readCheckpointRef(at);
    if (checkpoint !== null) return { version: await promotedAs(repositories, teamId, of, checkpoint) };
    if (!versionRefSchema.safeParse(at).success) throw notFound('model', model, 'model');
    return { version: await findVersion(repositories, teamId, of, at) };
  };
  try {
    if (isName(name) && (await adapters.find(teamId, name))) return await versionOf(name, ref);
    if (number !== undefined && isName(adapter) && (await adapters.find(teamId, adapter)))
      return await versionOf(adapter, number);
  } catch (error) {
    throw error instanceof LowrankError && error.code === 'not_found'
      ? notFound('model', model, 'model')
      : error;
  }
  const baseModel = await findBaseModel(repositories, teamId, model);
  return { baseModel: found(baseModel, 'model', model, 'model') };
}

/** The version that a job's checkpoint was made. Error: not_found. */
async function promotedAs(
  { adapters, checkpoints, jobs }: Pick<Repositories, 'adapters' | 'checkpoints' | 'jobs'>,
  teamId: string,
  adapter: string,
  { jobId, step }: { jobId: string; step: number },
): Promise<AdapterVersion> {
  const job = await jobs.find(teamId, jobId);
  const kept = job?.adapter === adapter ? await checkpoints.list(jobId) : [];
  const version = kept.find((one) => one.step === step)?.version;
  const number = version?.number ?? null;
  return found(
    number === null ? null : await adapters.version(teamId, adapter, number),
    'version',
    `${adapter}@${checkpointRef(jobId, step)}`,
  );
}

/** The base model of that name or id, or the newest that came from there, as findModel has them. */
export async function findBaseModel(
  { baseModels, teams }: Pick<Repositories, 'baseModels' | 'teams'>,
  teamId: string,
  model: string,
): Promise<BaseModel | null> {
  const own = found(await teams.find(teamId), 'team', teamId).name;
  const name = model.startsWith(`${own}/`) ? model.slice(own.length + 1) : model;
  const byName = isName(name) ? await baseModels.find(teamId, name) : null;
  const [imported = null] = sourceName.test(model) ? await baseModels.bySource(teamId, model) : [];
  return byName ?? imported;
}

/** What cannot be a name is not there, and the database need not be asked. */
const isName = (text: string): boolean => nameSchema.safeParse(text).success;
