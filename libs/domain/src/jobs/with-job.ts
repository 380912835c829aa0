import { type Job } from '@lowrank/contracts';
import { found, notFound } from '../not-found';
import { type JobRecord, type Repositories, type UnitOfWork } from '../ports/repositories';

/**
 * Runs `work` in one transaction with the team's job locked, and resolves to the job as it is afterwards.
 * Error: not_found, for another team's job too.
 */
export function withJob(
  unitOfWork: UnitOfWork,
  teamId: string,
  id: string,
  work: (repositories: Repositories, job: JobRecord) => Promise<void>,
): Promise<Job> {
  return unitOfWork.run(async (repositories) => {
    const job = await repositories.jobs.lock(id);
    if (job?.teamId !== teamId) throw notFound('job', id);
    await work(repositories, job);
    return found(await repositories.jobs.find(teamId, id), 'job', id);
  });
}

/** Appends a message to the job's history, in the epoch that it is in. */
export const tell = ({ jobs }: Pick<Repositories, 'jobs'>, job: JobRecord, at: string, message: string) =>
  jobs.appendEvent(job.id, { at, epoch: job.epoch, level: 'info', type: 'message', message, state: null });
