/** How much earlier than its turn a job goes for each point of priority. */
export const priorityHeadStartMs = 10 * 60_000;

/**
 * A job's place in its team's order: the time from which it waits, less ten minutes for each point of priority. The smaller goes first.
 * Since it never changes while the job waits, a job can only be overtaken by those that come within the head start of their priority
 * over its own, and no job waits forever.
 */
export const rankAt = (queuedAt: string, priority: number): string =>
  new Date(Date.parse(queuedAt) - priority * priorityHeadStartMs).toISOString();
