import { type Job } from '@lowrank/contracts';
import { type Ports } from '../ports';
import { checkQueueQuota } from './quotas';
import { queueFromNow } from './queue-again';
import { withJob } from './with-job';

/**
 * Queues a paused job again. It goes on from its checkpoint, and its adapter has the bytes of a run that was never paused.
 * Errors: not_found; illegal_transition unless the job is paused; quota_exceeded.
 */
export function resumeJob(ports: Omit<Ports, 'ids'>, teamId: string, id: string): Promise<Job> {
  return withJob(ports, teamId, id, 'resume', async (repositories, job, at) => {
    await checkQueueQuota(repositories, teamId, at);
    await queueFromNow(repositories, job, { at, message: `Resumed after step ${job.checkpointStep}.` });
  });
}
