import { type BaseModel, type CreateJob, type Dataset, type Job } from '@lowrank/contracts';
import { found } from '../not-found';
import { type Repositories } from '../ports/repositories';

export interface Material {
  baseModel: BaseModel;
  dataset: Dataset;
}

/** What a request wants to train on. Error: not_found. */
export async function materialOf(
  { baseModels, datasets }: Pick<Repositories, 'baseModels' | 'datasets'>,
  teamId: string,
  request: Pick<CreateJob, 'baseModel' | 'dataset'>,
): Promise<Material> {
  const baseModel = await baseModels.find(teamId, request.baseModel);
  const dataset = await datasets.find(teamId, request.dataset);
  return {
    baseModel: found(baseModel, 'base model', request.baseModel, 'baseModel'),
    dataset: found(dataset, 'dataset', request.dataset, 'dataset'),
  };
}

/** What a job remembers of its base model and dataset. */
export const factsOf = (
  { id, name, revision }: BaseModel,
  dataset: Dataset,
): Pick<Job, 'baseModel' | 'dataset'> => ({
  baseModel: { id, name, revision },
  dataset: { id: dataset.id, filename: dataset.filename, sha256: dataset.sha256 },
});
