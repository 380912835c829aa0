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
  const { id, filename: name, sha256, rows } = dataset;
  await unitOfWork.run(async ({ datasets, audit }) => {
    await datasets.insert(teamId, dataset);
    await audit.add('upload', { kind: 'dataset', id, name }, { sha256, rows });
  });
  return dataset;
}
