import { type AddressedWakeUp, type JobQueue } from '../ports/job-queue';
import { type OutboxEntry } from '../ports/outbox';
import { type UnitOfWork } from '../ports/repositories';

/**
 * Carries what an earlier round, or the dispatcher before, left in the outbox to the queue, oldest first, and resolves to how many rows
 * there were. Rows without a worker are news that a job is ready or a slot free, and are only removed: a round of scheduleJobs is to
 * follow. Run it under `unitOfWork.exclusively`, so that several dispatchers do not repeat one another's work.
 */
export async function dispatchOutbox(unitOfWork: UnitOfWork, queue: JobQueue, limit = 100): Promise<number> {
  const entries = await unitOfWork.run(({ outbox }) => outbox.take(limit));
  const news = entries.filter(({ wakeUp }) => wakeUp.workerId === null);
  if (news.length > 0) await unitOfWork.runLightly(({ outbox }) => outbox.remove(news.map(({ id }) => id)));
  await carryWakeUps(unitOfWork, queue, entries.filter(isAddressed));
  return entries.length;
}

/** Wake-ups that are under way to the queue at a time. */
const atOnce = 50;

/**
 * Carries wake-ups to the queue. A row is removed only after its wake-up is in the queue, in a later transaction: at least once, and no
 * database lock is held while the queue is slow.
 */
export async function carryWakeUps(
  unitOfWork: UnitOfWork,
  queue: JobQueue,
  entries: OutboxEntry<AddressedWakeUp>[],
): Promise<void> {
  for (let from = 0; from < entries.length; from += atOnce) {
    const some = entries.slice(from, from + atOnce);
    const results = await Promise.allSettled(some.map(({ wakeUp }) => queue.wake(wakeUp)));
    const done = some.filter((_, index) => results[index]?.status === 'fulfilled').map(({ id }) => id);
    if (done.length > 0) await unitOfWork.runLightly(({ outbox }) => outbox.remove(done));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }
}

const isAddressed = (entry: OutboxEntry): entry is OutboxEntry<AddressedWakeUp> =>
  entry.wakeUp.workerId !== null;
