import { type Dataset } from '@lowrank/contracts';
import { type Ports } from '../ports';

/** What a check found out, once the file is in the object store. */
export type DatasetFacts = Omit<Dataset, 'id' | 'createdAt'>;

/** Writes a checked dataset's row. */
export async function addDataset(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  facts: DatasetFacts,
): Promise<Dataset> {
  const dataset: Dataset = { id: ids.make('dataset'), ...facts, createdAt: clock.now() };
  const { id, filename: name, sha256, rows } = dataset;
  await unitOfWork.run(async ({ datasets, audit }) => {
    await datasets.insert(teamId, dataset);
    await audit.add('upload', { kind: 'dataset', id, name }, { sha256, rows });
  });
  return dataset;
}
