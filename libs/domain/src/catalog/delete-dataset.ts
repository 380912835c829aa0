import { LowrankError } from '@lowrank/contracts';
import { found, notFound } from '../not-found';
import { type Ports } from '../ports';

/**
 * Deletes a dataset's row; jobs that used it keep its hash. The bytes stay in the object store until the
 * retention is over, and longer where another dataset has the same. Errors: not_found; in_use while an unfinished job or a gate uses it.
 */
export async function deleteDataset(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  ref: string,
): Promise<void> {
  await unitOfWork.run(async ({ datasets, audit }) => {
    const { id, filename: name, sha256 } = found(await datasets.find(teamId, ref), 'dataset', ref);
    if (!(await datasets.delete(teamId, id))) throw notFound('dataset', ref);
    await audit.add('delete', { kind: 'dataset', id, name }, { sha256 });
  });
}

/**
 * Deletes datasets of all teams whose time has come, as deleteDataset does; those that an unfinished job trains on wait for its end.
 * Resolves to how many there were.
 */
export async function deleteExpired(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  limit: number,
): Promise<number> {
  const expired = await unitOfWork.run(({ datasets }) => datasets.expired(clock.now(), limit));
  let deleted = 0;
  for (const { teamId, id } of expired) {
    const done = await unitOfWork
      .run(({ datasets }) => datasets.delete(teamId, id))
      .catch((error: unknown) => {
        // Somebody has submitted a job on it since it was looked at.
        if (error instanceof LowrankError && error.code === 'in_use') return false;
        throw error;
      });
    deleted += Number(done);
  }
  return deleted;
}
