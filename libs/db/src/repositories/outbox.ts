import { type JobWakeUp } from '@lowrank/contracts';
import { type OutboxRepository } from '@lowrank/domain';
import { type Tx } from '../values';

export const outboxRepository = (db: Tx, now: string | null): OutboxRepository => ({
  async add({ jobId, epoch, workerId, traceparent = now }) {
    // What the dispatcher decides belongs to the request that made the job, not to whatever else it decides.
    await db.$executeRaw`
      INSERT INTO outbox (job_id, epoch, worker_id, trace_parent)
      VALUES (${jobId}, ${epoch}, ${workerId},
        coalesce(${traceparent}, (SELECT trace_parent FROM jobs WHERE id = ${jobId})))`;
  },

  async take(limit) {
    const rows = await db.$queryRaw<({ id: bigint } & JobWakeUp)[]>`
      SELECT id, job_id AS "jobId", epoch, worker_id AS "workerId", trace_parent AS traceparent
      FROM outbox ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`;
    return rows.map(({ id, traceparent, ...wakeUp }) => ({
      id: String(id),
      wakeUp: traceparent ? { ...wakeUp, traceparent } : wakeUp,
    }));
  },

  async remove(ids) {
    await db.outbox.deleteMany({ where: { id: { in: ids.map(BigInt) } } });
  },
});
