import { type Job } from '@lowrank/contracts';
import { notAssigned } from '../attempts/attempt';
import { type Ports } from '../ports';
import { isHeld, moveJob } from '../state-machine';
import { tell, withJob } from './with-job';

/**
 * Cancels a job. One that waits is cancelled at once. One that an attempt holds is marked, and its worker stops the trainer at the
 * next micro-batch, or kills it; asking again changes nothing. The mark or the move and its event are one transaction.
 * Errors: not_found; illegal_transition when the job is final.
 */
export function cancelJob(ports: Omit<Ports, 'ids'>, teamId: string, id: string): Promise<Job> {
  return withJob(ports, teamId, id, 'cancel', async (repositories, job, at) => {
    if (!isHeld(job.state)) {
      const patch = { ...notAssigned, finishedAt: at };
      await moveJob(repositories, job, 'cancelled', { at, message: `Cancelled while ${job.state}.`, patch });
    } else if (!job.cancelRequested) {
      await repositories.jobs.update(id, job.epoch, { cancelRequested: true });
      await tell(repositories, job, at, 'Cancellation requested; the trainer stops at its next micro-batch.');
    }
  });
}
