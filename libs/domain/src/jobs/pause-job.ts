import { type Job } from '@lowrank/contracts';
import { notAssigned } from '../attempts/attempt';
import { type Ports } from '../ports';
import { isHeld, moveJob } from '../state-machine';
import { tell, withJob } from './with-job';

/**
 * Pauses a job. One that waits is paused at once. One that an attempt holds is marked: its trainer writes a checkpoint and gives its
 * slot back, and the job is paused then; asking again changes nothing.
 * Errors: not_found; illegal_transition when the job publishes, is paused, being cancelled or final.
 */
export function pauseJob(ports: Omit<Ports, 'ids'>, teamId: string, id: string): Promise<Job> {
  return withJob(ports, teamId, id, 'pause', async (repositories, job, at) => {
    if (!isHeld(job.state)) {
      await moveJob(repositories, job, 'paused', {
        at,
        message: 'Paused before it had a slot.',
        patch: notAssigned,
      });
    } else if (!job.pauseRequested) {
      await repositories.jobs.update(id, job.epoch, { pauseRequested: true });
      await tell(repositories, job, at, 'Pause requested; the trainer writes a checkpoint and stops.');
    }
  });
}
