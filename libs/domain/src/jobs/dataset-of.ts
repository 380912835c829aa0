import { type AdapterVersion, LowrankError } from '@lowrank/contracts';
import { type Repositories } from '../ports/repositories';

interface Asked {
  dataset?: string | undefined;
  validationDataset?: string | null;
}

/**
 * The datasets that a job on a version works with: those that were asked for, or else the version's own, with what it was validated on. A validation
 * dataset is enough by itself. Where the version's own dataset is named, what it was validated on goes with it: it may have been trained on all of the former.
 * Error: validation_failed when there is none.
 */
export async function datasetOf(
  repositories: Pick<Repositories, 'jobs' | 'datasets'>,
  teamId: string,
  version: AdapterVersion,
  asked: Asked,
): Promise<{ dataset: string; validationDataset: string | null }> {
  const { adapter, number, dataset } = version;
  const named = asked.dataset === undefined ? null : await repositories.datasets.find(teamId, asked.dataset);
  const isOwn = asked.dataset === undefined || named?.id === dataset?.id;
  const own = isOwn ? await validationOf(repositories, teamId, version) : null;
  const validationDataset = asked.validationDataset ?? own;
  const id = asked.dataset ?? dataset?.id ?? validationDataset;
  if (id !== null) return { dataset: id, validationDataset };
  throw new LowrankError(
    'validation_failed',
    `${adapter}@v${number} was imported, so that its dataset is not known; name one whose rows it is compared on.`,
    [{ path: 'dataset', message: 'is missing' }],
  );
}

/** Id of the dataset that a version was evaluated on while it was trained, if it is still there; null: on rows held out, or it was not trained here. */
export async function validationOf(
  { jobs, datasets }: Pick<Repositories, 'jobs' | 'datasets'>,
  teamId: string,
  { jobId }: AdapterVersion,
): Promise<string | null> {
  const job = jobId === null ? null : await jobs.find(teamId, jobId);
  const id = job?.validationDataset?.id ?? null;
  return id !== null && (await datasets.find(teamId, id)) !== null ? id : null;
}
