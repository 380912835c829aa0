import { type Dataset } from '@lowrank/contracts';
import { after } from '../clock-and-ids';
import { type Ports } from '../ports';

/** What a check found out, once the file is in the object store. */
export type DatasetFacts = Omit<Dataset, 'id' | 'createdAt' | 'expiresAt'>;

/** Writes a checked dataset's row; it is deleted by itself after so many seconds, null: never. */
export async function addDataset(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  facts: DatasetFacts,
  expiresAfter: number | null = null,
): Promise<Dataset> {
  const createdAt = clock.now();
  const expiresAt = expiresAfter === null ? null : after(createdAt, expiresAfter * 1000);
  const dataset: Dataset = { id: ids.make('dataset'), ...facts, createdAt, expiresAt };
  await unitOfWork.run(({ datasets }) => datasets.insert(teamId, dataset));
  return dataset;
}
