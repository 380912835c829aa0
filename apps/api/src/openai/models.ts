import { Inject, Injectable } from '@nestjs/common';
import { type BaseModel, type OpenAiModel } from '@lowrank/contracts';
import {
  findBaseModel,
  findModel,
  found,
  type Ports,
  type Repositories,
  type VersionName,
} from '@lowrank/domain';
import { PORTS } from '../dependencies';
import { modelNameOf, seconds } from './views';

/** Most versions that are listed, the newest: OpenAI's list of models has no pages. */
const listed = 10_000;

export interface Trainable {
  baseModel: BaseModel;
  initFrom: VersionName | null;
}

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

  /** A model by any name that completions know it by. Error: not_found. */
  find(teamId: string, name: string): Promise<OpenAiModel> {
    return this.ports.unitOfWork.look(async (repositories) => {
      const team = await teamName(repositories, teamId);
      const model = await findModel(repositories, teamId, name);
      return 'version' in model ? versionView(team, model.version) : baseView(team, model.baseModel);
    });
  }

  /** What a job is to be trained on: a base model, or the weights of a version on its own base model. Error: not_found. */
  findTrainable(teamId: string, name: string): Promise<Trainable> {
    return this.ports.unitOfWork.look(async (repositories) => {
      const base = await findBaseModel(repositories, teamId, name);
      if (base !== null) return { baseModel: base, initFrom: null };
      const model = await findModel(repositories, teamId, name);
      if ('baseModel' in model) return { ...model, initFrom: null };
      const { id } = model.version.baseModel;
      const baseModel = found(await repositories.baseModels.find(teamId, id), 'base model', id, 'model');
      return { baseModel, initFrom: model.version };
    });
  }
}

export const teamName = async ({ teams }: Pick<Repositories, 'teams'>, teamId: string): Promise<string> =>
  found(await teams.find(teamId), 'team', teamId).name;

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
