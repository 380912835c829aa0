import { type Job } from '@lowrank/contracts';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { checkQueueQuota } from './quotas';
import { queueFromNow } from './queue-again';
import { withJob } from './with-job';

/**
 * Queues a failed or cancelled job again, with a clean slate: no error, no fruitless attempts, micro-batches as it was submitted with. It goes on from a checkpoint if one is
 * left, else from the start, to the same bytes either way.
 * Errors: not_found, also when its dataset was deleted since; illegal_transition unless it failed or was cancelled; quota_exceeded;
 * deadline_exceeded.
 */
export function retryJob(ports: Omit<Ports, 'ids'>, teamId: string, id: string): Promise<Job> {
  return withJob(ports, teamId, id, 'retry', queueAfterEnd);
}

/** Queues a job that has failed or was cancelled, and whose row is locked, once more. Errors: those of `retryJob`; nothing is written then. */
export async function queueAfterEnd(repositories: Repositories, job: JobRecord, at: string): Promise<void> {
  // While the job was final nothing kept its dataset from being deleted.
  found(await repositories.datasets.hold(job.teamId, job.dataset.id), 'dataset', job.dataset.id);
  const validation = job.validationDataset?.id;
  if (validation !== undefined)
    found(await repositories.datasets.hold(job.teamId, validation), 'dataset', validation);
  await checkQueueQuota(repositories, job.teamId, at);
  await queueFromNow(repositories, job, {
    at,
    message: `Retried after it was ${job.state}.`,
    patch: {
      ...{ error: null, finishedAt: null, stoppedEarly: null },
      ...{
        cancelRequested: false,
        fruitlessAttempts: 0,
        memoryRetries: 0,
        deviceFailures: 0,
        mirroredStep: 0,
      },
    },
  });
}
