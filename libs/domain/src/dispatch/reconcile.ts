import { errorCatalog } from '@lowrank/contracts';
import { notAssigned, withAttempt } from '../attempts/attempt';
import { settleAttempt } from '../attempts/end-attempt';
import { deleteExpired } from '../catalog/delete-dataset';
import { before } from '../clock-and-ids';
import { tell } from '../jobs/with-job';
import { type Ports } from '../ports';
import { type JobQueue } from '../ports/job-queue';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { isFinal, isHeld, moveJob } from '../state-machine';
import { settleSweeps } from '../sweeps/control-sweep';

export interface ReconcileOptions {
  /** An attempt without a sign of life for this long counts as crashed. */
  silentAfterMs: number;
  /** A worker that has not been seen for this long is gone for good: its row and its queue go. */
  forgetAfterMs: number;
  /** Most jobs looked at per kind and call. */
  limit?: number;
}

export interface Reconciled {
  /** Wake-ups that were sent again. */
  woken: number;
  /** Attempts whose worker fell silent. */
  crashed: number;
  /** Jobs whose deadline had come. */
  overdue: number;
}

/**
 * Makes good what got lost. Every queued job that a worker was chosen for is woken again, which has no effect on those that the queue
 * still has; every job whose worker fell silent is taken from it, one transaction each, its heartbeat looked at again under the lock;
 * jobs whose deadline has come are ended, and so are sweeps that were left half-way; datasets that have expired go. Resolves to how many
 * of each there were.
 */
export async function reconcile(
  ports: Omit<Ports, 'ids'>,
  queue: JobQueue,
  { silentAfterMs, forgetAfterMs, limit = 1000 }: ReconcileOptions,
): Promise<Reconciled> {
  const { unitOfWork, clock } = ports;
  const crashed = await takeFromSilent(ports, before(clock.now(), silentAfterMs), limit);
  const overdue = await endOverdue(ports, limit);
  await settleSweeps(ports, limit);
  await deleteExpired(ports, limit);
  const placed = await unitOfWork.run(({ jobs }) => jobs.placed());
  let woken = 0;
  for (const { id: jobId, epoch, state, assignedTo } of placed) {
    if (state !== 'queued' || assignedTo === null) continue;
    await queue.wake({ jobId, epoch, workerId: assignedTo });
    woken += 1;
  }
  const gone = await unitOfWork.run(({ workers }) =>
    workers.removeUnseen(before(clock.now(), forgetAfterMs)),
  );
  for (const id of gone) await queue.forget(id);
  return { woken, crashed, overdue };
}

async function takeFromSilent(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  deadline: string,
  limit: number,
): Promise<number> {
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
  return crashed;
}

async function endOverdue({ unitOfWork, clock }: Omit<Ports, 'ids'>, limit: number): Promise<number> {
  const at = clock.now();
  const overdue = await unitOfWork.run(({ jobs }) => jobs.overdue(at, limit));
  let ended = 0;
  for (const { id } of overdue) {
    const done = await unitOfWork.run(async (repositories) => {
      const job = await repositories.jobs.lock(id);
      if (job === null || isFinal(job.state)) return false;
      return endLate(repositories, job, at);
    });
    ended += Number(done);
  }
  return ended;
}

/** A job that an attempt holds is stopped as if it were cancelled, and fails then; one that publishes is as good as done. */
async function endLate(repositories: Repositories, job: JobRecord, at: string): Promise<boolean> {
  const message = `Not done by its deadline, ${job.deadline}.`;
  if (!isHeld(job.state)) {
    const code = 'deadline_exceeded' as const;
    const error = { code, message, help: errorCatalog[code].help };
    const patch = { ...notAssigned, error, finishedAt: at };
    await moveJob(repositories, job, 'failed', { at, level: 'error', message, patch });
    return true;
  }
  if (job.cancelRequested || job.state === 'publishing') return false;
  await repositories.jobs.update(job.id, job.epoch, { cancelRequested: true });
  await tell(repositories, job, at, `${message} The trainer stops.`);
  return true;
}
