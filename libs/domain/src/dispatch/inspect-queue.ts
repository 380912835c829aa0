import { type QueueInspection, type QueueQuery } from '@lowrank/contracts';
import { before } from '../clock-and-ids';
import { type Ports } from '../ports';
import { type QueueInspector } from '../ports/job-queue';
import { outboxLag, workerSeenWithinMs } from './overview';

/** What waits, page by page, and what is on its way to workers: in the outbox, and in the queue of each worker that is there. */
export async function inspectQueue(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  inspector: QueueInspector,
  { after, limit }: QueueQuery,
): Promise<QueueInspection> {
  const now = clock.now();
  const { rows, outbox, there } = await unitOfWork.acrossTeams.read(async ({ statistics, workers }) => ({
    rows: await statistics.queue({ limit: limit + 1, ...(after === undefined ? {} : { after }) }),
    outbox: await statistics.outbox(),
    there: await workers.seenSince(before(now, workerSeenWithinMs)),
  }));
  const counts = await inspector.counts(there.map(({ id }) => id)).catch(() => null);
  return {
    data: rows.slice(0, limit),
    hasMore: rows.length > limit,
    outbox: outboxLag(outbox, now),
    wakeUps:
      counts &&
      there.map(({ id, hostname, drain }) => ({
        ...{ workerId: id, hostname, drain },
        ...(counts.get(id) ?? { waiting: 0, active: 0 }),
      })),
  };
}
