import { type AdapterVersion, type BaseModel, type Dataset } from '@lowrank/contracts';
import { type JobRecord, type Repositories } from '../ports/repositories';

/** A job and what it is made from. */
export interface JobWithInputs {
  job: JobRecord;
  baseModel: BaseModel;
  dataset: Dataset;
  /** What it is evaluated on; null: rows held out of the dataset. */
  validationDataset: Dataset | null;
  /** The version that training starts from. */
  initFrom: AdapterVersion | null;
}

/** A job with what it is made from, or what of that is gone. */
export async function inputsOf(
  { baseModels, datasets, adapters }: Repositories,
  job: JobRecord,
): Promise<JobWithInputs | { gone: string }> {
  const baseModel = await baseModels.find(job.teamId, job.baseModel.id);
  if (baseModel === null) return { gone: 'Base model' };
  const dataset = await datasets.find(job.teamId, job.dataset.id);
  if (dataset === null) return { gone: 'Dataset' };
  const validation = job.validationDataset;
  const validationDataset = validation && (await datasets.find(job.teamId, validation.id));
  if (validation !== null && validationDataset === null) return { gone: 'Validation dataset' };
  const both = { job, baseModel, dataset, validationDataset };
  if (job.initFrom === null) return { ...both, initFrom: null };
  const initFrom = await adapters.versionById(job.teamId, job.initFrom.versionId);
  if (initFrom === null) return { gone: `Version ${job.initFrom.adapter}@v${job.initFrom.number}` };
  return { ...both, initFrom };
}
