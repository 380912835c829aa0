import { type JobState } from '@lowrank/contracts';

export const jobStates: readonly JobState[] = [
  'queued',
  'preparing',
  'running',
  'publishing',
  'succeeded',
  'paused',
  'cancelled',
  'failed',
];
/** Whether a job is over, until somebody has it tried again. */
export const isFinal = (state: JobState): boolean => ['succeeded', 'cancelled', 'failed'].includes(state);
