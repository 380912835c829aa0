import { found, notFound } from '../not-found';
import { type Ports } from '../ports';

/**
 * Deletes a dataset's row; jobs that used it keep its hash. The bytes stay in the object store, where another dataset or a version's
 * lineage may need them. Errors: not_found; in_use while an unfinished job trains on it.
 */
export async function deleteDataset(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  id: string,
): Promise<void> {
  await unitOfWork.run(async ({ datasets, audit }) => {
    const { filename: name, sha256 } = found(await datasets.find(teamId, id), 'dataset', id);
    if (!(await datasets.delete(teamId, id))) throw notFound('dataset', id);
    await audit.add('delete', { kind: 'dataset', id, name }, { sha256 });
  });
}
