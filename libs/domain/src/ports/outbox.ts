import { type JobWakeUp } from '@lowrank/contracts';

/** Names of advisory locks whose holders are told of news. */
export const locks = { dispatcher: 'dispatcher', webhooks: 'webhooks' } as const;

/**
 * What the holder of a lock is told: that there is something for it since it looked last. It is told once the transaction that has news
 * is committed. News make it look sooner; they may get lost, so it looks from time to time all the same.
 */
export interface News {
  /** Resolves to true at once when there has been news since the call before, or as soon as there is; to false after `ms`, or when aborted. */
  wait(ms: number, signal: AbortSignal): Promise<boolean>;
}

/** A row of the outbox. */
export interface OutboxEntry<WakeUp = JobWakeUp> {
  id: string;
  wakeUp: WakeUp;
}

export interface OutboxRepository {
  /**
   * With a worker: a wake-up for it. Without: news for the dispatcher, who is told: that a job is ready or a slot free. Where one has no
   * traceparent, it goes on where its job was submitted. Resolves to the rows, in the same order.
   */
  add<WakeUp extends JobWakeUp>(...wakeUps: WakeUp[]): Promise<OutboxEntry<WakeUp>[]>;
  /** Oldest entries, skipping those another transaction holds; locked until the transaction ends. */
  take(limit: number): Promise<OutboxEntry[]>;
  remove(ids: string[]): Promise<void>;
  /** Removes the entries without a worker. */
  removeNews(): Promise<void>;
}
