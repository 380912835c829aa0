import { type JobWakeUp } from '@lowrank/contracts';
import { type OutboxRepository } from '@lowrank/domain';
import { type Tx } from '../values';

export const outboxRepository = (db: Tx): OutboxRepository => ({
  async add({ jobId, epoch, workerId }) {
    await db.outbox.create({ data: { jobId, epoch, workerId } });
  },

  async take(limit) {
    const rows = await db.$queryRaw<({ id: bigint } & JobWakeUp)[]>`
      SELECT id, job_id AS "jobId", epoch, worker_id AS "workerId" FROM outbox ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`;
    return rows.map(({ id, ...wakeUp }) => ({ id: String(id), wakeUp }));
  },

  async remove(ids) {
    await db.outbox.deleteMany({ where: { id: { in: ids.map(BigInt) } } });
  },
});
