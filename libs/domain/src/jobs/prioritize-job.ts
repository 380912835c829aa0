import { type Job } from '@lowrank/contracts';
import { rankAt } from '../dispatch/rank';
import { type Ports } from '../ports';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { tell, withJob } from './with-job';

/**
 * Changes a job's priority: of one that waits, its place in the team's order from now on; of one that runs, which others may have its
 * slot. Errors: not_found; illegal_transition when the job publishes, is being cancelled or final.
 */
export function prioritizeJob(
  ports: Omit<Ports, 'ids'>,
  teamId: string,
  id: string,
  priority: number,
): Promise<Job> {
  const work = async (repositories: Repositories, job: JobRecord, at: string) => {
    if (job.priority === priority) return;
    await repositories.jobs.update(id, job.epoch, { priority, rankAt: rankAt(job.queuedAt, priority) });
    await tell(repositories, job, at, `Priority changed from ${job.priority} to ${priority}.`);
    await repositories.outbox.add({ jobId: id, epoch: job.epoch, workerId: null });
  };
  return withJob(ports, teamId, id, 'prioritize', work, { priority });
}
