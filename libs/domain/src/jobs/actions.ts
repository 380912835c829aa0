import { type Job, type JobState, LowrankError } from '@lowrank/contracts';

/** What can be asked of a job, and in which states. */
export const jobActions = {
  cancel: ['queued', 'preparing', 'running', 'publishing', 'paused'],
  pause: ['queued', 'preparing', 'running'],
  resume: ['paused'],
  retry: ['failed', 'cancelled'],
  prioritize: ['queued', 'preparing', 'running', 'paused'],
} as const satisfies Record<string, readonly JobState[]>;
export type JobAction = keyof typeof jobActions;

/** What can be asked of a job now. One that is being cancelled can only be cancelled, which changes nothing more. */
export function possibleActions({
  state,
  cancelRequested,
}: Pick<Job, 'state' | 'cancelRequested'>): JobAction[] {
  const actions = Object.keys(jobActions) as JobAction[];
  const possible = actions.filter((action) => (jobActions[action] as readonly JobState[]).includes(state));
  return cancelRequested ? possible.filter((action) => action === 'cancel' || action === 'retry') : possible;
}

/** Throws LowrankError illegal_transition, with the present state and what is possible, unless the action is. */
export function assertAction(job: Pick<Job, 'id' | 'state' | 'cancelRequested'>, action: JobAction): void {
  const possible = possibleActions(job);
  if (possible.includes(action)) return;
  const state =
    job.cancelRequested && job.state !== 'cancelled' ? `${job.state} and being cancelled` : job.state;
  const instead =
    possible.length > 0 ? `possible now: ${possible.join(', ')}, clone` : 'it is over; possible: clone';
  throw new LowrankError(
    'illegal_transition',
    `Job ${job.id} is ${state}; '${action}' does not go; ${instead}.`,
    [{ path: 'state', message: job.state }],
  );
}
