import { type JobWakeUp } from '@lowrank/contracts';

/**
 * Carries wake-ups from the dispatcher to workers. At least once, in no promised order; it may lose everything at any time (the
 * reconciler makes it good from Postgres). Deliberately left out: results, progress, cancellation, history.
 */
export interface JobQueue {
  /** Enqueuing the same job and epoch twice has the effect of once while the first is waiting or running. */
  wake(wakeUp: JobWakeUp): Promise<void>;
  close(): Promise<void>;
}

export interface JobConsumer {
  /** Stops taking wake-ups and waits until handlers have returned. */
  close(): Promise<void>;
}

/** Called once per wake-up, at most `slots` at a time. What it throws is logged; Postgres decides what happens next. */
export type JobHandler = (wakeUp: JobWakeUp) => Promise<void>;
