import { finalJobStates, type JobEvent, type JobState, LowrankError } from '@lowrank/contracts';
import { type JobPatch, type JobRecord, type Repositories } from './ports/repositories';
import { settleSweep } from './sweeps/settle-sweep';
import { announceMove } from './webhooks/announce';

/** Every legal move of a job. */
export const legalMoves: Readonly<Record<JobState, readonly JobState[]>> = {
  // To failed: what the job needs is gone.
  queued: ['preparing', 'paused', 'cancelled', 'failed'],
  // To publishing: an attempt that resumes from a checkpoint of the last step has nothing left to train.
  preparing: ['running', 'publishing', 'queued', 'paused', 'cancelled', 'failed'],
  running: ['publishing', 'queued', 'paused', 'cancelled', 'failed'],
  // To paused: an attempt that was asked to pause died while it published.
  publishing: ['succeeded', 'queued', 'paused', 'cancelled', 'failed'],
  // To failed: its deadline has come.
  paused: ['queued', 'cancelled', 'failed'],
  succeeded: [],
  // To queued: somebody tries again. Nothing else leaves these two.
  cancelled: ['queued'],
  failed: ['queued'],
};

/** States in which an attempt holds the job. */
export const heldStates: readonly JobState[] = ['preparing', 'running', 'publishing'];
export const isFinal = (state: JobState): boolean => finalJobStates.includes(state);
export const isHeld = (state: JobState): boolean => heldStates.includes(state);

/** Throws LowrankError illegal_transition unless the table has the move. */
export function assertMove(from: JobState, to: JobState): void {
  if (legalMoves[from].includes(to)) return;
  const choices = legalMoves[from].join(', ');
  throw new LowrankError(
    'illegal_transition',
    `A job that is ${from} cannot become ${to}; ${choices ? `it can become ${choices}` : `${from} is final`}.`,
  );
}

export interface Move {
  message: string;
  at: string;
  level?: JobEvent['level'];
  patch?: JobPatch;
}

/**
 * The only way a job changes its state: checks the table, writes state and patch, appends the event, tells webhooks of it, and ends
 * the sweep whose last trial it was, all in the caller's transaction. `job` must come from `jobs.lock` of that transaction. The event carries the epoch that the job had before.
 */
export async function moveJob(
  repositories: Pick<Repositories, 'jobs' | 'webhooks' | 'sweeps' | 'adapters'>,
  job: JobRecord,
  to: JobState,
  { message, at, level = 'info', patch }: Move,
): Promise<JobRecord> {
  const { jobs } = repositories;
  assertMove(job.state, to);
  if (!(await jobs.move(job.id, job.epoch, to, { at, level, message }, patch)))
    throw new LowrankError('conflict', `Job ${job.id} is no longer at attempt ${job.epoch}.`);
  const moved = { ...job, ...patch, state: to };
  await announceMove(repositories, job.teamId, [moved], { state: to, message, at });
  if (isFinal(to) && job.sweep !== null) await settleSweep(repositories, job.sweep.id, at);
  return moved;
}
