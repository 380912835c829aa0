import {
  type AdapterVersion,
  type BaseModel,
  type CreateJob,
  type Dataset,
  type Job,
  readVersionSelector,
} from '@lowrank/contracts';
import { findVersion } from '../catalog/find-version';
import { found } from '../not-found';
import { type Repositories } from '../ports/repositories';

export interface Material {
  baseModel: BaseModel;
  dataset: Dataset;
  /** What it is evaluated on; null: rows held out of the dataset. */
  validationDataset: Dataset | null;
  /** The version that training starts from. */
  initFrom: AdapterVersion | null;
}

/** What a request wants to train on. Error: not_found. */
export async function materialOf(
  repositories: Pick<Repositories, 'baseModels' | 'datasets' | 'adapters' | 'aliases'>,
  teamId: string,
  request: Pick<CreateJob, 'baseModel' | 'dataset'> &
    Partial<Pick<CreateJob, 'initFrom' | 'validationDataset'>>,
): Promise<Material> {
  const { baseModel: base, initFrom = null, validationDataset: validation = null } = request;
  const baseModel = await repositories.baseModels.find(teamId, base);
  const dataset = await repositories.datasets.find(teamId, request.dataset);
  return {
    baseModel: found(baseModel, 'base model', base, 'baseModel'),
    dataset: found(dataset, 'dataset', request.dataset, 'dataset'),
    validationDataset:
      validation === null
        ? null
        : found(
            await repositories.datasets.find(teamId, validation),
            'dataset',
            validation,
            'validationDataset',
          ),
    initFrom: initFrom === null ? null : await startOf(repositories, teamId, initFrom),
  };
}

function startOf(
  repositories: Pick<Repositories, 'adapters' | 'aliases'>,
  teamId: string,
  selector: string,
): Promise<AdapterVersion> {
  const { adapter, version } = readVersionSelector(selector);
  return findVersion(repositories, teamId, adapter, version);
}

/** What a job remembers of its base model and dataset. */
export const factsOf = (
  { id, name, revision }: BaseModel,
  dataset: Dataset,
  validationDataset: Dataset | null = null,
): Pick<Job, 'baseModel' | 'dataset' | 'validationDataset'> => ({
  baseModel: { id, name, revision },
  dataset: remembered(dataset),
  validationDataset: validationDataset && remembered(validationDataset),
});

const remembered = ({ id, filename, sha256 }: Dataset): Job['dataset'] => ({ id, filename, sha256 });
