import {
  LowrankError,
  type WakeUpPayload,
  wakeUpPayloadSchema,
  wakeUpVersion,
  workerQueueName,
} from '@lowrank/contracts';
import { type JobQueue } from '@lowrank/domain';
import { spanned, traceparentNow } from '@lowrank/telemetry';
import { openBackend, type QueueConnection, type QueueHandle } from './backend';

/**
 * The producing end: a queue per worker, opened when it is first written to. An entry's id is the job and epoch, so waking twice adds
 * nothing while the first entry waits or runs; entries leave no trace when they are done, so that the reconciler can wake the same
 * attempt again. All methods reject with LowrankError store_unavailable while the backend is away.
 */
export function createJobQueue(connection: QueueConnection): JobQueue {
  const backend = openBackend(connection);
  const queues = new Map<string, QueueHandle>();
  const queueOf = (workerId: string): QueueHandle => {
    const name = workerQueueName(workerId);
    const open = queues.get(name);
    if (open) return open;
    const queue = backend.queue(name, {
      // Attempts are counted in Postgres: an entry is delivered once, and a failed one is woken again by the reconciler.
      defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: true },
    });
    // Every call reports its own failure; the event would only end the process if nobody listened.
    queue.on('error', () => {});
    queues.set(name, queue);
    return queue;
  };
  return {
    async wake(wakeUp) {
      const { jobId, epoch, workerId, traceparent } = wakeUp;
      const send = async () => {
        const trace = traceparentNow() ?? traceparent;
        const payload: WakeUpPayload = wakeUpPayloadSchema.parse({
          ...{ v: wakeUpVersion, jobId, epoch, workerId },
          ...(trace ? { traceparent: trace } : {}),
        });
        await answered('take a wake-up', () =>
          queueOf(workerId).add('wake-up', payload, { jobId: `${jobId}-${epoch}` }),
        );
      };
      // Wake-ups that are part of no trace, such as the reconciler's, begin none.
      await (traceparent
        ? spanned('queue wake-up', send, { kind: 'producer', parent: traceparent })
        : send());
    },
    async forget(workerId) {
      const queue = queueOf(workerId);
      await answered('remove a queue', () => queue.obliterate({ force: true }));
      queues.delete(workerQueueName(workerId));
      await queue.close();
    },
    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
      await backend.close();
    },
  };
}

async function answered(what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new LowrankError('store_unavailable', `The queue did not ${what}.`, undefined, { cause });
  }
}
