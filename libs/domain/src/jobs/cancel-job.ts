import { type Job, LowrankError } from '@lowrank/contracts';
import { found, notFound } from '../not-found';
import { type Ports } from '../ports';
import { isFinal, isHeld, moveJob } from '../state-machine';

/**
 * Cancels a job. One that waits is cancelled at once. One that an attempt holds is marked, and its worker stops the trainer at the
 * next micro-batch; asking again changes nothing. The mark or the move and its event are one transaction.
 * Errors: not_found; illegal_transition when the job is final.
 */
export async function cancelJob(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  teamId: string,
  id: string,
): Promise<Job> {
  const at = clock.now();
  return unitOfWork.run(async (repositories) => {
    const { jobs } = repositories;
    const job = await jobs.lock(id);
    if (job?.teamId !== teamId) throw notFound('job', id);
    if (isFinal(job.state))
      throw new LowrankError(
        'illegal_transition',
        `Job ${id} is ${job.state}, which is final; it cannot be cancelled.`,
      );
    if (!isHeld(job.state)) {
      await moveJob(repositories, job, 'cancelled', {
        at,
        message: `Cancelled while ${job.state}.`,
        patch: { finishedAt: at },
      });
    } else if (!job.cancelRequested) {
      await jobs.update(id, job.epoch, { cancelRequested: true });
      await jobs.appendEvent(id, {
        at,
        epoch: job.epoch,
        level: 'info',
        type: 'message',
        message: 'Cancellation requested; the trainer stops at its next micro-batch.',
        state: null,
      });
    }
    return found(await jobs.find(teamId, id), 'job', id);
  });
}
