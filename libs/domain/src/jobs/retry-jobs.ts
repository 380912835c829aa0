import { LowrankError, type RetriedJobs } from '@lowrank/contracts';
import { found, notFound } from '../not-found';
import { type Ports } from '../ports';
import { assertAction } from './actions';
import { queueAfterEnd } from './retry-job';

/**
 * Queues several failed or cancelled jobs again, each as `retryJob` does, in one transaction. Those that cannot be are left as they are
 * and told with the reason; where none can, nothing has changed and the first reason is the error.
 */
export function retryJobs(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  teamId: string,
  ids: string[],
): Promise<RetriedJobs> {
  const at = clock.now();
  return unitOfWork.run(async (repositories) => {
    const { jobs, audit } = repositories;
    const retried: string[] = [];
    const refused: (RetriedJobs['refused'][number] & { error: LowrankError })[] = [];
    // In order of their ids, so that two requests for the same jobs do not wait for each other.
    for (const id of [...ids].sort()) {
      try {
        const job = await jobs.lock(id);
        if (job?.teamId !== teamId) throw notFound('job', id);
        assertAction(job, 'retry');
        await queueAfterEnd(repositories, job, at);
        retried.push(id);
      } catch (error) {
        if (!(error instanceof LowrankError) || error.status >= 500) throw error;
        refused.push({ id, code: error.code, message: error.message, error });
      }
    }
    if (retried.length === 0 && refused[0] !== undefined) throw refused[0].error;
    await audit.add('retry', { kind: 'job' }, { jobs: retried });
    const done = [];
    for (const id of retried) done.push(found(await jobs.find(teamId, id), 'job', id));
    return { retried: done, refused: refused.map(({ error: _error, ...rest }) => rest) };
  });
}
