import { jobQueueName, type JobWakeUp, jobWakeUpSchema, LowrankError } from '@lowrank/contracts';
import { type JobQueue } from '@lowrank/domain';
import { openBackend, type QueueConnection } from './backend';

/**
 * The producing end. An entry's id is the job and epoch, so waking twice adds nothing while the first entry waits or runs; entries
 * leave no trace when they are done, so that the reconciler can wake the same attempt again.
 * `wake` rejects with LowrankError store_unavailable while the backend is away.
 */
export function createJobQueue(connection: QueueConnection): JobQueue {
  const queue = openBackend(connection).queue(jobQueueName, {
    // Attempts are counted in Postgres: an entry is delivered once, and a failed one is woken again by the reconciler.
    defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: true },
  });
  // Every call reports its own failure; the event would only end the process if nobody listened.
  queue.on('error', () => {});
  return {
    async wake(wakeUp: JobWakeUp) {
      const payload = jobWakeUpSchema.parse(wakeUp);
      try {
        await queue.add('wake-up', payload, { jobId: `${payload.jobId}-${payload.epoch}` });
      } catch (cause) {
        throw new LowrankError('store_unavailable', 'The queue did not take a wake-up.', undefined, {
          cause,
        });
      }
    },
    close: () => queue.close(),
  };
}
