import { Inject, Injectable } from '@nestjs/common';
import {
  type BaseModel,
  LowrankError,
  nameSchema,
  type OpenAiModel,
  versionRefSchema,
} from '@lowrank/contracts';
import { findVersion, found, type Ports, type Repositories, type VersionName } from '@lowrank/domain';
import { PORTS } from '../dependencies';
import { ModelNotFound } from './errors';
import { modelNameOf, seconds } from './views';

/** Most versions that are listed, the newest: OpenAI's list of models has no pages. */
const listed = 10_000;

const versionName = /^(?:([^/@]+)\/)?([^/@]+)@([^/@]+)$/;
const source = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** Base models and versions of adapters, as models. */
@Injectable()
export class OpenAiModels {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  /** Base models that are ready and versions, each kind the newest first. */
  list(teamId: string): Promise<OpenAiModel[]> {
    return this.ports.unitOfWork.read(async (repositories) => {
      const team = await teamName(repositories, teamId);
      const { data } = await repositories.baseModels.list(teamId, { limit: listed });
      const versions = await repositories.adapters.allVersions(teamId, listed);
      return [
        ...data.filter(({ status }) => status === 'ready').map((base) => baseView(team, base)),
        ...versions.map((version) => versionView(team, version)),
      ];
    });
  }

  /** Error: ModelNotFound. */
  find(teamId: string, name: string): Promise<OpenAiModel> {
    return this.ports.unitOfWork.look(async (repositories) => {
      const team = await teamName(repositories, teamId);
      const version = await versionNamed(repositories, teamId, team, name);
      if (version !== null) return versionView(team, version);
      return baseView(team, await baseNamed(repositories, teamId, name));
    });
  }

  /**
   * The base model that a job is to be trained on. Errors: ModelNotFound; validation_failed when it is a version, which training cannot
   * go on from by this protocol.
   */
  findBase(teamId: string, name: string): Promise<BaseModel> {
    return this.ports.unitOfWork.look(async (repositories) => {
      const version = await versionNamed(repositories, teamId, await teamName(repositories, teamId), name);
      if (version === null) return baseNamed(repositories, teamId, name);
      throw new LowrankError('validation_failed', `'${name}' is a version of an adapter, not a base model.`, [
        { path: 'model', message: 'must be a base model' },
      ]);
    });
  }
}

export const teamName = async ({ teams }: Pick<Repositories, 'teams'>, teamId: string): Promise<string> =>
  found(await teams.find(teamId), 'team', teamId).name;

/** `[team/]adapter@version`, the version by number or alias; null: that is no name of a version. Error: ModelNotFound. */
async function versionNamed(
  repositories: Repositories,
  teamId: string,
  team: string,
  name: string,
): Promise<VersionName | null> {
  const [, owner = team, adapter, ref] = versionName.exec(name) ?? [];
  if (adapter === undefined) return null;
  if (owner !== team || !nameSchema.safeParse(adapter).success || !versionRefSchema.safeParse(ref).success)
    throw new ModelNotFound(name);
  return findVersion(repositories, teamId, adapter, ref ?? '').catch((error: unknown) => {
    throw error instanceof LowrankError && error.code === 'not_found' ? new ModelNotFound(name) : error;
  });
}

/** By its name or id, or by where it came from. Error: ModelNotFound. */
async function baseNamed({ baseModels }: Repositories, teamId: string, name: string): Promise<BaseModel> {
  const model = nameSchema.safeParse(name).success ? await baseModels.find(teamId, name) : null;
  const [imported] = source.test(name) ? await baseModels.bySource(teamId, name) : [];
  const base = model ?? imported;
  if (base === undefined) throw new ModelNotFound(name);
  return base;
}

const baseView = (team: string, { name, createdAt }: BaseModel): OpenAiModel => ({
  id: name,
  object: 'model',
  created: seconds(createdAt),
  owned_by: team,
});

const versionView = (team: string, version: VersionName): OpenAiModel => ({
  id: modelNameOf(team, version),
  object: 'model',
  created: seconds(version.createdAt),
  owned_by: team,
});
