import { errorCatalog, type ErrorCode } from '@lowrank/contracts';
import { type Ports } from '../ports';
import { type JobPatch, type JobRecord, type Repositories } from '../ports/repositories';
import { moveJob } from '../state-machine';
import { withSmallerMicroBatches } from '../recipe/micro-batches';
import { type AttemptRef, releaseSlot, withAttempt } from './attempt';

/** How an attempt ended without publishing. */
export type AttemptOutcome =
  /** The trainer stopped because somebody cancelled the job. */
  | { type: 'cancelled' }
  /** The trainer was asked for its slot, wrote a checkpoint and stopped: for a pause, for a job of higher priority, or for its worker. */
  | { type: 'drained' }
  /** The trainer died, or its worker fell silent. `message` says how. */
  | { type: 'crashed'; message: string }
  /** What the worker computes with does not work; that is no fault of the job. */
  | { type: 'device_failed'; message: string }
  /** The trainer said why it cannot go on; retryable when another attempt may do better. */
  | { type: 'failed'; code: ErrorCode; message: string; retryable: boolean };

/** Attempts in a row without a new checkpoint after which a job fails. */
export const maxFruitlessAttempts = 3;

/**
 * Devices in a row that fail while a job trains on them, without a new checkpoint in between, after which the job is taken for the cause:
 * it would drain the whole fleet.
 */
export const maxDeviceFailures = 3;

/** Times that a job which ran out of memory is tried again with smaller micro-batches. */
export const maxMemoryRetries = 2;

/**
 * Ends an attempt: the job's move, its event and, when it is queued again, the next epoch's outbox row are one transaction.
 * Resolves to the job as it is then, or to null, writing nothing, when the attempt is fenced.
 *
 * - cancelled → cancelled
 * - drained → paused if that was asked for, else queued with the next epoch; the attempt counts as none
 * - out of memory → queued with the next epoch and smaller micro-batches, at most twice; these attempts count as none
 * - device_failed → queued with the next epoch, the attempt counting as none, and the worker is drained; failed when it was the third
 *   device in a row that failed while the job trained
 * - crashed, failed and retryable → queued with the next epoch, or failed after three attempts in a row without a new checkpoint
 * - failed and not retryable → failed
 *
 * A job whose cancellation was requested is never queued again: it is cancelled, or fails if that was for its deadline. One that was
 * asked to pause is paused where it would be queued.
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
  const settled = await nextState(repositories, job, outcome, at);
  await repositories.outbox.add({ jobId: job.id, epoch: settled.epoch, workerId: null });
  return settled;
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

async function nextState(
  repositories: Repositories,
  job: JobRecord,
  outcome: AttemptOutcome,
  at: string,
): Promise<JobRecord> {
  const released = await releaseSlot(repositories, job, at);

  const cancel = () =>
    job.deadline !== null && job.deadline <= at && job.stoppedEarly === null
      ? fail(
          'deadline_exceeded',
          `Not done by its deadline, ${job.deadline}; stopped after step ${job.step}.`,
        )
      : moveJob(repositories, job, 'cancelled', {
          at,
          message:
            job.stoppedEarly === null
              ? `Cancelled after step ${job.step}.`
              : `Stopped early at rung ${job.stoppedEarly.rung}, after step ${job.step}.`,
          patch: { ...released, finishedAt: at },
        });

  const fail = (code: ErrorCode, message: string) =>
    moveJob(repositories, job, 'failed', {
      at,
      level: 'error',
      message,
      patch: { ...released, finishedAt: at, error: { code, message, help: errorCatalog[code].help } },
    });

  const giveBack = async (message: string, patch: JobPatch, level: 'info' | 'warn') => {
    if (job.pauseRequested)
      return moveJob(repositories, job, 'paused', {
        at,
        level,
        message: `${message} Paused.`,
        patch: { ...released, ...patch },
      });
    const epoch = job.epoch + 1;
    return moveJob(repositories, job, 'queued', {
      at,
      level,
      message: `${message} Queued again as attempt ${epoch}.`,
      patch: { ...released, ...patch, epoch },
    });
  };
  const notCharged = { fruitlessAttempts: Math.max(0, job.fruitlessAttempts - 1) };

  if (outcome.type === 'cancelled') return cancel();
  if (outcome.type === 'failed' && !outcome.retryable) return fail(outcome.code, outcome.message);
  if (job.cancelRequested) return cancel();
  if (outcome.type === 'drained')
    return giveBack(
      `Gave its slot back after step ${job.step}${job.preemptRequested ? ', to a job of higher priority' : ''}.`,
      notCharged,
      'info',
    );
  const how = outcome.type === 'failed' ? ` with ${outcome.code}` : '';
  const ended = `Attempt ${job.epoch} ended${how}: ${sentence(outcome.message)}`;
  if (outcome.type === 'device_failed') {
    // In the same transaction, or the job would go straight back to it.
    if (job.workerId !== null) {
      const message = `Attempt ${job.epoch} of job ${job.id}: ${sentence(outcome.message)}`;
      await repositories.workers.fail(job.workerId, { message, at });
    }
    // Before it trains the kernels have done nothing for the job yet.
    const deviceFailures = job.deviceFailures + Number(job.state === 'running');
    if (deviceFailures === maxDeviceFailures)
      return fail(
        outcome.type,
        `${ended} It was the ${maxDeviceFailures}rd device in a row to fail with it.`,
      );
    return giveBack(`${ended} Worker ${job.workerId} is drained.`, { ...notCharged, deviceFailures }, 'warn');
  }
  if (outcome.type === 'failed' && outcome.code === 'out_of_memory') {
    if (job.memoryRetries === maxMemoryRetries)
      return fail(outcome.code, `${ended} Its micro-batches were made smaller ${maxMemoryRetries} times.`);
    const memoryRetries = job.memoryRetries + 1;
    const smaller = job.work.kind === 'train' ? withSmallerMicroBatches(job.recipe, memoryRetries) : null;
    if (smaller !== null) {
      const { rows, accumulation } = smaller.training;
      const change = `It begins again with ${accumulation} micro-batches a step of ${rows} rows each, the same batch in all.`;
      // Another division of the batch is another run, whose checkpoints are its own.
      return giveBack(
        `${ended} ${change}`,
        { ...notCharged, memoryRetries, checkpointStep: 0, mirroredStep: 0 },
        'warn',
      );
    }
  }
  if (job.fruitlessAttempts < maxFruitlessAttempts) return giveBack(ended, {}, 'warn');
  return fail(
    outcome.type === 'failed' ? outcome.code : 'trainer_crashed',
    `${job.fruitlessAttempts} attempts in a row ended without a new checkpoint; the last: ${outcome.message}`,
  );
}
