import { type JobWakeUp } from '@lowrank/contracts';
import { locks, type OutboxEntry, type OutboxRepository } from '@lowrank/domain';
import { channelOf } from '../news';
import { type Tx } from '../values';

export const outboxRepository = (db: Tx, now: string | null): OutboxRepository => ({
  async add(...wakeUps) {
    if (wakeUps.length === 0) return [];
    const rows = wakeUps.map(({ traceparent = now, ...wakeUp }) => ({ ...wakeUp, traceparent }));
    // What the dispatcher decides belongs to the request that made the job, not to whatever else it decides.
    const added = await db.$queryRaw<{ id: bigint; traceparent: string | null }[]>`
      WITH given AS (
        SELECT * FROM ROWS FROM (
          json_to_recordset(${JSON.stringify(rows)}::json)
            AS ("jobId" text, epoch int, "workerId" text, traceparent text)
        ) WITH ORDINALITY AS row ("jobId", epoch, "workerId", traceparent, place)
      ), added AS (
        INSERT INTO outbox (job_id, epoch, worker_id, trace_parent)
        SELECT "jobId", epoch, "workerId",
          coalesce(traceparent, (SELECT trace_parent FROM jobs WHERE id = "jobId"))
        FROM given ORDER BY place
        RETURNING id, worker_id, trace_parent
      )
      SELECT id, trace_parent AS traceparent,
        CASE WHEN worker_id IS NULL THEN pg_notify(${channelOf(locks.dispatcher)}, '')::text END
      FROM added ORDER BY id`;
    return added.map(({ id, traceparent }, index) =>
      toEntry({ id, ...(wakeUps[index] as (typeof wakeUps)[number]), traceparent }),
    );
  },

  async take(limit) {
    const rows = await db.$queryRaw<({ id: bigint } & JobWakeUp)[]>`
      SELECT id, job_id AS "jobId", epoch, worker_id AS "workerId", trace_parent AS traceparent
      FROM outbox ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`;
    return rows.map(toEntry);
  },

  async remove(ids) {
    await db.outbox.deleteMany({ where: { id: { in: ids.map(BigInt) } } });
  },

  async removeNews() {
    await db.outbox.deleteMany({ where: { workerId: null } });
  },
});

function toEntry<WakeUp extends JobWakeUp>({
  id,
  traceparent,
  ...wakeUp
}: { id: bigint } & WakeUp): OutboxEntry<WakeUp> {
  return { id: String(id), wakeUp: (traceparent ? { ...wakeUp, traceparent } : wakeUp) as unknown as WakeUp };
}
