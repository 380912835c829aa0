import { type JobQueue } from '../ports/job-queue';
import { type UnitOfWork } from '../ports/repositories';

/**
 * Carries outbox rows to the queue, oldest first, and resolves to how many. A row is removed only after its wake-up is in the queue,
 * in a later transaction: at least once, and no database lock is held while the queue is slow. Run it under
 * `unitOfWork.exclusively`, so that several dispatchers do not repeat one another's work.
 */
export async function dispatchOutbox(unitOfWork: UnitOfWork, queue: JobQueue, limit = 100): Promise<number> {
  const entries = await unitOfWork.run(({ outbox }) => outbox.take(limit));
  const woken: string[] = [];
  try {
    for (const { id, wakeUp } of entries) {
      await queue.wake(wakeUp);
      woken.push(id);
    }
  } finally {
    if (woken.length > 0) await unitOfWork.run(({ outbox }) => outbox.remove(woken));
  }
  return woken.length;
}
