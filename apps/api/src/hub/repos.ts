import { Inject, Injectable } from '@nestjs/common';
import {
  type Adapter,
  type AdapterVersion,
  type BaseModel,
  LowrankError,
  type StoredFile,
} from '@lowrank/contracts';
import { findVersion, type Ports, type Repositories } from '@lowrank/domain';
import { PORTS } from '../dependencies';
import { HubNotFound } from './errors';

/** Names one revision of a repository, as Hugging Face's clients do. */
export interface RepoRef {
  /** null: the name has one part, as that of a folder. */
  owner: string | null;
  name: string;
  /** `main`, `v3`, an alias, or 40 hexadecimal digits. */
  revision: string;
}

/** A version of an adapter, or a base model, as a repository at one commit. */
export interface Repo {
  /** `owner/name`, as it was asked for. */
  id: string;
  /** The commit: 40 hexadecimal digits over the files. */
  sha: string;
  files: StoredFile[];
  tags: string[];
  library: 'peft' | 'transformers';
  /** Of the base model, when this is an adapter. */
  baseModel: string | null;
  createdAt: string;
  lastModified: string;
}

const nameOf = ({ owner, name }: Pick<RepoRef, 'owner' | 'name'>): string =>
  owner === null ? name : `${owner}/${name}`;

const commit = /^[0-9a-f]{40}$/;
/** vLLM and LoRAX pass no revision; such a name says the version. */
const pinned = /^(.+)-v([1-9]\d{0,8})$/;

/**
 * What a team has or is let read, as repositories: `<team>/<adapter>`, `<team>/<adapter>-v3` for one version of it, `<team>/<base model>`, and base
 * models by where they came from (`org/model`, or a folder's name). Of equal names the first in this order wins.
 */
@Injectable()
export class HubRepos {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  /** Error: HubNotFound, of the repository or of the revision. */
  find(teamId: string, ref: RepoRef): Promise<Repo> {
    return this.ports.unitOfWork.look(async (repositories) => {
      const repo =
        (await ownRepo(repositories, teamId, ref)) ??
        baseRepo(ref, await repositories.baseModels.bySource(teamId, nameOf(ref)));
      if (repo === null) throw new HubNotFound('RepoNotFound', `There is no repository '${nameOf(ref)}'.`);
      return repo;
    });
  }
}

/** What the owner's repository of that name is, or of an adapter that it shares; null when there is none, or it is not for the team. */
async function ownRepo(repositories: Repositories, teamId: string, ref: RepoRef): Promise<Repo | null> {
  const { adapters, baseModels, teams } = repositories;
  if (ref.owner === null) return null;
  if ((await teams.find(teamId))?.name !== ref.owner) return sharedRepo(repositories, teamId, ref);
  const adapter = await adapters.find(teamId, ref.name);
  if (adapter !== null) return adapterRepo(repositories, teamId, ref, adapter);
  const [, name = '', number] = pinned.exec(ref.name) ?? [];
  const pinnedTo = number === undefined ? null : await adapters.find(teamId, name);
  if (pinnedTo !== null) return adapterRepo(repositories, teamId, ref, pinnedTo, `v${number}`);
  const model = await baseModels.find(teamId, ref.name);
  return baseRepo(ref, model?.status === 'ready' ? [model] : []);
}

async function sharedRepo(repositories: Repositories, teamId: string, ref: RepoRef): Promise<Repo | null> {
  const { adapters, grants, teams } = repositories;
  const owner = ref.owner === null ? null : await teams.findByName(ref.owner);
  const [, pinnedName = '', number] = pinned.exec(ref.name) ?? [];
  for (const [name, pin] of [[ref.name], [pinnedName, `v${number}`]] as const) {
    const granted = owner && (await grants.find(owner.id, name, teamId));
    const adapter = granted && (await adapters.find(owner.id, name));
    if (adapter) return adapterRepo(repositories, owner.id, ref, adapter, pin);
  }
  return null;
}

async function adapterRepo(
  repositories: Repositories,
  teamId: string,
  ref: RepoRef,
  adapter: Adapter,
  pin?: string,
): Promise<Repo> {
  const version = await versionOf(repositories, teamId, ref, adapter.name, pin);
  const baseModel = await repositories.baseModels.find(teamId, adapter.baseModel);
  return {
    id: nameOf(ref),
    sha: version.revision,
    files: version.files,
    tags: ['peft', 'safetensors', 'lora', version.recipe.objective.type, ...adapter.tags],
    library: 'peft',
    baseModel: baseModel?.source ?? adapter.baseModel,
    createdAt: adapter.createdAt,
    lastModified: version.createdAt,
  };
}

/** A pinned name has one version: its own, by any revision that means it. */
async function versionOf(
  repositories: Repositories,
  teamId: string,
  ref: RepoRef,
  adapter: string,
  pin?: string,
): Promise<AdapterVersion> {
  const { revision } = ref;
  const wanted = pin !== undefined && revision === 'main' ? pin : revision;
  const version = commit.test(wanted)
    ? await repositories.adapters.versionByRevision(teamId, adapter, wanted)
    : await findVersion(repositories, teamId, adapter, wanted).catch((error: unknown) => {
        if (error instanceof LowrankError && error.code === 'not_found') return null;
        throw error;
      });
  const isOther =
    pin !== undefined && version !== null && `v${version.number}` !== pin && !commit.test(wanted);
  if (version === null || isOther)
    throw new HubNotFound('RevisionNotFound', `'${nameOf(ref)}' has no revision '${revision}'.`);
  return version;
}

function baseRepo(ref: RepoRef, models: BaseModel[]): Repo | null {
  const { revision } = ref;
  const [newest] = models;
  if (newest === undefined) return null;
  const model = revision === 'main' ? newest : models.find((one) => one.revision === revision);
  if (model === undefined)
    throw new HubNotFound('RevisionNotFound', `'${nameOf(ref)}' has no revision '${revision}'.`);
  return {
    id: nameOf(ref),
    sha: model.revision,
    files: model.files,
    tags: ['transformers', 'safetensors', model.modelType],
    library: 'transformers',
    baseModel: null,
    createdAt: model.createdAt,
    lastModified: model.createdAt,
  };
}
