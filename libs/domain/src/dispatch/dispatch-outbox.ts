import { type AddressedWakeUp, type JobQueue } from '../ports/job-queue';
import { type UnitOfWork } from '../ports/repositories';

/**
 * Carries outbox rows to the queue, oldest first, and resolves to how many there were. A row is removed only after its wake-up is in
 * the queue, in a later transaction: at least once, and no database lock is held while the queue is slow. Rows without a worker are news
 * that a job is ready or a slot free, and are only removed. Run it under `unitOfWork.exclusively`, so that several dispatchers do not
 * repeat one another's work.
 */
export async function dispatchOutbox(
  unitOfWork: UnitOfWork,
  queue: JobQueue,
  limit = 100,
): Promise<{ carried: number; news: number }> {
  const entries = await unitOfWork.run(({ outbox }) => outbox.take(limit));
  const done: string[] = [];
  let carried = 0;
  try {
    for (const { id, wakeUp } of entries) {
      if (isAddressed(wakeUp)) {
        await queue.wake(wakeUp);
        carried += 1;
      }
      done.push(id);
    }
  } finally {
    if (done.length > 0) await unitOfWork.run(({ outbox }) => outbox.remove(done));
  }
  return { carried, news: done.length - carried };
}

export const isAddressed = (wakeUp: { workerId: string | null }): wakeUp is AddressedWakeUp =>
  wakeUp.workerId !== null;
