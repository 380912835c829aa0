import { type Assignment } from '@lowrank/contracts';
import { isWeights, modelKey } from '@lowrank/training';
import { join } from 'node:path';
import { type AttemptOptions } from './attempt';
import { fetchFiles } from './fetch-files';

/** A dataset as training, measuring and converting read it. */
export interface FetchedDataset {
  file: string;
  sha256: string;
  format: Assignment['dataset']['format'];
}

/** The base model of an attempt, in a folder by its content that all trainers of the machine share. */
export interface FetchedBase {
  key: string;
  dir: string;
  /** Fetches what nobody needs who finds the quantized base in the cache. */
  fetchWeights: () => Promise<void>;
}

/** The base model but for its weights. */
export async function fetchBase(options: AttemptOptions): Promise<FetchedBase> {
  const { baseModel, cacheDir } = options.assignment;
  const key = modelKey(baseModel.files);
  const dir = join(cacheDir, 'models', key);
  const fetch = (wanted: boolean) =>
    fetchFiles(
      options,
      dir,
      baseModel.files.filter((file) => isWeights(file) === wanted),
    );
  await fetch(false);
  return { key, dir, fetchWeights: () => fetch(true) };
}

/** A dataset of the attempt. */
export async function fetchDataset(
  options: AttemptOptions,
  { sha256, format }: Assignment['dataset'],
): Promise<FetchedDataset> {
  const folder = join(options.assignment.cacheDir, 'datasets');
  await fetchFiles(options, folder, [{ path: sha256, sha256 }]);
  return { file: join(folder, sha256), sha256, format };
}

/** What the result of a job that does not train is compared on: its validation dataset, or what is held out of its dataset. */
export async function fetchMeasured(
  options: AttemptOptions,
): Promise<{ dataset: FetchedDataset; isValidation: boolean }> {
  const { dataset, validationDataset } = options.assignment;
  return {
    dataset: await fetchDataset(options, validationDataset ?? dataset),
    isValidation: validationDataset !== null,
  };
}
