import { jobWakeUpSchema, sharedQueueName, workerQueueName } from '@lowrank/contracts';
import { type JobConsumer, type JobHandler } from '@lowrank/domain';
import { openBackend, type QueueConnection } from './backend';

export interface JobConsumerOptions extends QueueConnection {
  /** The worker whose wake-ups are consumed. */
  workerId: string;
  /** Handlers that run at a time. */
  slots: number;
  /** What a handler threw, a payload that cannot be read, or trouble of the connection, which mends itself. */
  onError: (error: Error) => void;
}

/** An entry stays locked this long without renewal; BullMQ renews at half of it. A long job is renewed all the while. */
const lockMs = 90_000;

/**
 * The consuming end: calls `handler` for each wake-up of the worker, at most `slots` at a time, until it is closed. It also takes what
 * the release before put into the queue that all workers shared; whether there is a slot for that is for the handler to see.
 */
export function createJobConsumer(options: JobConsumerOptions, handler: JobHandler): JobConsumer {
  const { slots, onError, workerId, ...connection } = options;
  const backend = openBackend(connection);
  const consumers = [workerQueueName(workerId), sharedQueueName].map((name) => {
    const consumer = backend.worker(
      name,
      async (entry) => {
        await handler(jobWakeUpSchema.parse(entry.data));
      },
      {
        concurrency: slots,
        lockDuration: lockMs,
        stalledInterval: 30_000,
        // A stalled entry is delivered again however often it happens: whether the job goes on is for Postgres to say.
        maxStalledCount: 1_000_000,
      },
    );
    consumer.on('error', onError);
    consumer.on('failed', (_entry, error) => onError(error));
    return consumer;
  });
  return {
    async close() {
      await Promise.all(consumers.map((consumer) => consumer.close()));
      await backend.close();
    },
  };
}
