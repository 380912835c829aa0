import { type OutboxRepository } from '@lowrank/domain';
import { type Tx } from '../values';

export const outboxRepository = (db: Tx): OutboxRepository => ({
  async add({ jobId, epoch }) {
    await db.outbox.create({ data: { jobId, epoch } });
  },

  async take(limit) {
    const rows = await db.$queryRaw<{ id: bigint; jobId: string; epoch: number }[]>`
      SELECT id, job_id AS "jobId", epoch FROM outbox ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`;
    return rows.map(({ id, ...wakeUp }) => ({ id: String(id), wakeUp }));
  },

  async remove(ids) {
    await db.outbox.deleteMany({ where: { id: { in: ids.map(BigInt) } } });
  },
});
