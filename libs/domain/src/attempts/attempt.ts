import { type JobWakeUp } from '@lowrank/contracts';
import { type JobRecord, type Repositories, type UnitOfWork } from '../ports/repositories';
import { isHeld } from '../state-machine';

/** Names one attempt: a job and the epoch that fences off all its other attempts. */
export type AttemptRef = JobWakeUp;

/**
 * Runs `work` in one transaction with the job's row locked, if the attempt still holds the job; resolves to null, writing nothing,
 * when it is fenced: the job has moved on to another attempt or to a state that no attempt holds.
 */
export function withAttempt<T>(
  unitOfWork: UnitOfWork,
  { jobId, epoch }: AttemptRef,
  work: (repositories: Repositories, job: JobRecord) => Promise<T>,
): Promise<T | null> {
  return unitOfWork.run(async (repositories) => {
    const job = await repositories.jobs.lock(jobId);
    if (job === null || job.epoch !== epoch || !isHeld(job.state)) return null;
    return work(repositories, job);
  });
}
