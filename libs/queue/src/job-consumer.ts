import { jobQueueName, jobWakeUpSchema } from '@lowrank/contracts';
import { type JobConsumer, type JobHandler } from '@lowrank/domain';
import { openBackend, type QueueConnection } from './backend';

export interface JobConsumerOptions extends QueueConnection {
  /** Handlers that run at a time. */
  slots: number;
  /** What a handler threw, a payload that cannot be read, or trouble of the connection, which mends itself. */
  onError: (error: Error) => void;
}

/** An entry stays locked this long without renewal; BullMQ renews at half of it. A long job is renewed all the while. */
const lockMs = 90_000;

/** The consuming end: calls `handler` for each wake-up, at most `slots` at a time, until it is closed. */
export function createJobConsumer(options: JobConsumerOptions, handler: JobHandler): JobConsumer {
  const { slots, onError, ...connection } = options;
  const worker = openBackend(connection).worker(
    jobQueueName,
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
  worker.on('error', onError);
  worker.on('failed', (_entry, error) => onError(error));
  return { close: () => worker.close() };
}
