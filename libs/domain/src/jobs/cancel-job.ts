import { type Job } from '@lowrank/contracts';
import { notAssigned } from '../attempts/attempt';
import { type Ports } from '../ports';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { isHeld, moveJob } from '../state-machine';
import { tell, withJob } from './with-job';

/**
 * Cancels a job. One that waits is cancelled at once. One that an attempt holds is marked, and its worker stops the trainer at the
 * next micro-batch, or kills it; asking again changes nothing. The mark or the move and its event are one transaction.
 * Errors: not_found; illegal_transition when the job is final.
 */
export function cancelJob(ports: Omit<Ports, 'ids'>, teamId: string, id: string): Promise<Job> {
  return withJob(ports, teamId, id, 'cancel', cancel);
}

/** The same inside a transaction that has the job locked and has seen that it is not final. */
export async function cancel(repositories: Repositories, job: JobRecord, at: string): Promise<void> {
  if (!isHeld(job.state)) {
    const patch = { ...notAssigned, finishedAt: at };
    await moveJob(repositories, job, 'cancelled', { at, message: `Cancelled while ${job.state}.`, patch });
  } else if (!job.cancelRequested) {
    await repositories.jobs.update(job.id, job.epoch, { cancelRequested: true });
    await tell(repositories, job, at, 'Cancellation requested; the trainer stops at its next micro-batch.');
  }
}
