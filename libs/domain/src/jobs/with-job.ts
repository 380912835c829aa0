import { type Job } from '@lowrank/contracts';
import { found, notFound } from '../not-found';
import { type Ports } from '../ports';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { assertAction, type JobAction } from './actions';

/**
 * Does one of a user's actions in one transaction with the team's job locked, and resolves to the job as it is afterwards.
 * Errors: not_found, for another team's job too; illegal_transition when the job is in no state for that action.
 */
export function withJob(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  teamId: string,
  id: string,
  action: JobAction,
  work: (repositories: Repositories, job: JobRecord, at: string) => Promise<void>,
  details: Record<string, unknown> = {},
): Promise<Job> {
  const at = clock.now();
  return unitOfWork.run(async (repositories) => {
    const job = await repositories.jobs.lock(id);
    if (job?.teamId !== teamId) throw notFound('job', id);
    assertAction(job, action);
    await work(repositories, job, at);
    await repositories.audit.add(action, { kind: 'job', id }, { adapter: job.adapter, ...details });
    return found(await repositories.jobs.find(teamId, id), 'job', id);
  });
}

/** Appends a message to the job's history, in the epoch that it is in. */
export const tell = ({ jobs }: Pick<Repositories, 'jobs'>, job: JobRecord, at: string, message: string) =>
  jobs.appendEvent(job.id, { at, epoch: job.epoch, level: 'info', type: 'message', message, state: null });
