import { type AdapterVersion, LowrankError } from '@lowrank/contracts';

/** Id of the dataset that a job on a version works with: the one that was asked for, or else the version's own. Error: validation_failed when there is neither. */
export function datasetOf({ adapter, number, dataset }: AdapterVersion, asked: string | undefined): string {
  const id = asked ?? dataset?.id;
  if (id !== undefined) return id;
  throw new LowrankError(
    'validation_failed',
    `${adapter}@v${number} was imported, so that its dataset is not known; name one whose rows it is compared on.`,
    [{ path: 'dataset', message: 'is missing' }],
  );
}
