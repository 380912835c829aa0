import { type JobWakeUp } from '@lowrank/contracts';

/** A wake-up that the dispatcher has chosen a worker for. */
export type AddressedWakeUp = JobWakeUp & { workerId: string };

/**
 * Carries wake-ups from the dispatcher to the worker that each names. At least once, in no promised order; it may lose everything at any time (the
 * reconciler makes it good from Postgres). Deliberately left out: results, progress, cancellation, history.
 */
export interface JobQueue {
  /** Enqueuing the same job and epoch twice has the effect of once while the first is waiting or running. */
  wake(wakeUp: AddressedWakeUp): Promise<void>;
  /** Removes what waits for a worker that is gone for good. */
  forget(workerId: string): Promise<void>;
  close(): Promise<void>;
}

/** Looks at the queue from outside. */
export interface QueueInspector {
  /** What it runs on: `postgres`, `redis`, `redis sentinel` or `redis cluster`. */
  readonly type: string;
  /** Where that is, without credentials. */
  readonly address: string;
  /** Its version. Error: store_unavailable when it does not answer. */
  probe(): Promise<string | null>;
  /** By worker, wake-ups that it has yet to take, and those whose attempts run. Error: store_unavailable. */
  counts(workerIds: string[]): Promise<Map<string, { waiting: number; active: number }>>;
  close(): Promise<void>;
}

export interface JobConsumer {
  /** Stops taking wake-ups and waits until handlers have returned. */
  close(): Promise<void>;
}

/** Called once per wake-up, at most `slots` at a time. What it throws is logged; Postgres decides what happens next. */
export type JobHandler = (wakeUp: JobWakeUp) => Promise<void>;
