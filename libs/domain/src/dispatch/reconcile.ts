import { settleAttempt } from '../attempts/end-attempt';
import { withAttempt } from '../attempts/attempt';
import { before } from '../clock-and-ids';
import { type Ports } from '../ports';
import { type JobQueue } from '../ports/job-queue';

export interface ReconcileOptions {
  /** An attempt without a sign of life for this long counts as crashed. */
  silentAfterMs: number;
  /** Most jobs looked at per kind and call. */
  limit?: number;
}

/**
 * Makes good what got lost. Every queued job is woken again, which has no effect on those that the queue still has; every job whose
 * worker fell silent is taken from it, one transaction each, its heartbeat looked at again under the lock. Resolves to how many of
 * each there were.
 */
export async function reconcile(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  queue: JobQueue,
  { silentAfterMs, limit = 1000 }: ReconcileOptions,
): Promise<{ woken: number; crashed: number }> {
  const deadline = before(clock.now(), silentAfterMs);
  const silent = await unitOfWork.run(({ jobs }) => jobs.silent(deadline, limit));
  let crashed = 0;
  for (const { id: jobId, epoch } of silent) {
    const ended = await withAttempt(unitOfWork, { jobId, epoch }, async (repositories, job) => {
      if (job.heartbeatAt !== null && job.heartbeatAt >= deadline) return null;
      const message = `worker ${job.workerId} has been silent since ${job.heartbeatAt}.`;
      return settleAttempt(repositories, job, { type: 'crashed', message }, clock.now());
    });
    if (ended !== null) crashed++;
  }
  const queued = await unitOfWork.run(({ jobs }) => jobs.queued(limit));
  for (const { id: jobId, epoch } of queued) await queue.wake({ jobId, epoch });
  return { woken: queued.length, crashed };
}
