import { describeRedis } from '@lowrank/config';
import { LowrankError, workerQueueName } from '@lowrank/contracts';
import { type QueueInspector } from '@lowrank/domain';
import { openBackend, type QueueConnection, type QueueHandle } from './backend';

/**
 * The queue as the operator sees it. Opens the queue of a worker when it is first asked for, and closes it once it is asked for others
 * without that one. All methods reject with LowrankError store_unavailable while the backend is away.
 */
export function createQueueInspector(connection: QueueConnection): QueueInspector {
  const backend = openBackend(connection);
  const { redis } = connection;
  const queues = new Map<string, QueueHandle>();
  const queueOf = (workerId: string): QueueHandle => {
    const open = queues.get(workerId);
    if (open) return open;
    const queue = backend.queue(workerQueueName(workerId), {});
    queue.on('error', () => {});
    queues.set(workerId, queue);
    return queue;
  };
  const keepOnly = async (workerIds: string[]): Promise<void> => {
    for (const [id, queue] of queues) {
      if (workerIds.includes(id)) continue;
      queues.delete(id);
      await queue.close();
    }
  };
  return {
    type: redis === null ? 'postgres' : redis.type === 'single' ? 'redis' : `redis ${redis.type}`,
    address: redis === null ? 'the database' : describeRedis(redis),
    probe: () => answered('tell its version', () => backend.version()),
    counts: (workerIds) =>
      answered('tell what it holds', async () => {
        await keepOnly(workerIds);
        const counts = new Map<string, { waiting: number; active: number }>();
        for (const id of workerIds) {
          const {
            wait = 0,
            prioritized = 0,
            active = 0,
          } = await queueOf(id).getJobCounts('wait', 'prioritized', 'active');
          counts.set(id, { waiting: wait + prioritized, active });
        }
        return counts;
      }),
    async close() {
      await keepOnly([]);
      await backend.close();
    },
  };
}

async function answered<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new LowrankError('store_unavailable', `The queue did not ${what}.`, undefined, { cause });
  }
}
