import { errorCatalog, type ErrorCode } from '@lowrank/contracts';
import { type Ports } from '../ports';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { moveJob } from '../state-machine';
import { type AttemptRef, withAttempt } from './attempt';

/** How an attempt ended without publishing. */
export type AttemptOutcome =
  /** The trainer stopped because somebody cancelled the job. */
  | { type: 'cancelled' }
  /** The worker is leaving: the trainer wrote a checkpoint and stopped. Not the job's fault. */
  | { type: 'drained' }
  /** The trainer died, or its worker fell silent. `message` says how. */
  | { type: 'crashed'; message: string }
  /** The trainer said why it cannot go on; retryable when another attempt may do better. */
  | { type: 'failed'; code: ErrorCode; message: string; retryable: boolean };

/** Attempts in a row without a new checkpoint after which a job fails. */
export const maxFruitlessAttempts = 3;

/**
 * Ends an attempt: the job's move, its event and, when it is queued again, the next epoch's outbox row are one transaction.
 * Resolves to the job as it is then, or to null, writing nothing, when the attempt is fenced.
 *
 * - cancelled → cancelled
 * - drained → queued with the next epoch; the attempt is not charged
 * - crashed, failed and retryable → queued with the next epoch, or failed after three attempts in a row without a new checkpoint
 * - failed and not retryable → failed
 *
 * A job whose cancellation was requested is never queued again: it is cancelled.
 */
export function endAttempt(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  attempt: AttemptRef,
  outcome: AttemptOutcome,
): Promise<JobRecord | null> {
  const at = clock.now();
  return withAttempt(unitOfWork, attempt, (repositories, job) =>
    settleAttempt(repositories, job, outcome, at),
  );
}

/** The same inside a transaction that has the job locked and has seen that the attempt holds it. */
export async function settleAttempt(
  repositories: Repositories,
  job: JobRecord,
  outcome: AttemptOutcome,
  at: string,
): Promise<JobRecord> {
  const released = { workerId: null, heartbeatAt: null };

  const cancel = () =>
    moveJob(repositories, job, 'cancelled', {
      at,
      message: `Cancelled after step ${job.step}.`,
      patch: { ...released, finishedAt: at },
    });

  const fail = (code: ErrorCode, message: string) =>
    moveJob(repositories, job, 'failed', {
      at,
      level: 'error',
      message,
      patch: { ...released, finishedAt: at, error: { code, message, help: errorCatalog[code].help } },
    });

  const queueAgain = async (message: string, fruitlessAttempts: number, level: 'info' | 'warn') => {
    const epoch = job.epoch + 1;
    const queued = await moveJob(repositories, job, 'queued', {
      at,
      level,
      message: `${message} Queued again as attempt ${epoch}.`,
      patch: { ...released, epoch, fruitlessAttempts },
    });
    await repositories.outbox.add({ jobId: job.id, epoch });
    return queued;
  };

  if (outcome.type === 'cancelled') return cancel();
  if (outcome.type === 'failed' && !outcome.retryable) return fail(outcome.code, outcome.message);
  if (job.cancelRequested) return cancel();
  if (outcome.type === 'drained')
    return queueAgain(
      `The worker is leaving after step ${job.step}.`,
      Math.max(0, job.fruitlessAttempts - 1),
      'info',
    );
  if (job.fruitlessAttempts < maxFruitlessAttempts)
    return queueAgain(`Attempt ${job.epoch} ended: ${outcome.message}`, job.fruitlessAttempts, 'warn');
  return fail(
    outcome.type === 'failed' ? outcome.code : 'trainer_crashed',
    `${job.fruitlessAttempts} attempts in a row ended without a new checkpoint; the last: ${outcome.message}`,
  );
}
