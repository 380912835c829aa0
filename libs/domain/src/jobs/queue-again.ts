import { rankAt } from '../dispatch/rank';
import { type JobPatch, type JobRecord, type Repositories } from '../ports/repositories';
import { moveJob } from '../state-machine';

/**
 * Queues a job that somebody took up again, as the next attempt and at the end of its priority's line, and tells the dispatcher.
 * The epoch goes up even if the attempt before never began: whatever is still on its way for it is fenced.
 */
export async function queueFromNow(
  repositories: Repositories,
  job: JobRecord,
  { at, message, patch }: { at: string; message: string; patch?: JobPatch },
): Promise<void> {
  const epoch = job.epoch + 1;
  await moveJob(repositories, job, 'queued', {
    at,
    message,
    patch: {
      ...patch,
      epoch,
      queuedAt: at,
      rankAt: rankAt(at, job.priority),
      pauseRequested: false,
      preemptRequested: false,
    },
  });
  await repositories.outbox.add({ jobId: job.id, epoch, workerId: null });
}
