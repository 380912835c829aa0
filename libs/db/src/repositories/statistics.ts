import { type JobState } from '@lowrank/contracts';
import { type FinishedRun, type StatisticsRepository } from '@lowrank/domain';
import { Prisma } from '../generated/client';
import { isoOrNull, type Tx } from '../values';

export const statisticsRepository = (db: Tx): StatisticsRepository => ({
  async jobsByState() {
    const rows = await db.job.groupBy({ by: ['state'], _count: true });
    return rows.map(({ state, _count }) => ({ state: state as JobState, count: _count }));
  },

  async queuedByDeviceClass() {
    const rows = await db.$queryRaw<{ deviceClass: string | null; count: bigint }[]>`
      SELECT class AS "deviceClass", count(*) AS count
      FROM jobs LEFT JOIN LATERAL jsonb_array_elements_text(
        CASE jsonb_typeof(placement -> 'deviceClasses') WHEN 'array' THEN placement -> 'deviceClasses' ELSE '[]' END
      ) AS named (class) ON true
      WHERE state = 'queued' GROUP BY class ORDER BY class NULLS FIRST`;
    return rows.map(({ deviceClass, count }) => ({ deviceClass, count: Number(count) }));
  },

  async finishedRuns({ deviceClasses, baseModelId, limit }) {
    const newest = (condition: Prisma.Sql) => Prisma.sql`
      SELECT runs.* FROM unnest(${deviceClasses}::text[]) AS named (class) CROSS JOIN LATERAL (
        SELECT jobs.id, device_class, jobs.base_model_id, (estimate ->> 'operations')::float8 AS operations,
          (metrics ->> 'trainedTokens')::float8 AS tokens, (metrics ->> 'seconds')::float8 AS seconds
        FROM jobs JOIN adapter_versions ON adapter_versions.job_id = jobs.id
        WHERE state = 'succeeded' AND device_class = named.class AND estimate IS NOT NULL ${condition}
        ORDER BY finished_at DESC LIMIT ${limit}
      ) runs`;
    return db.$queryRaw<FinishedRun[]>`
      SELECT device_class AS "deviceClass", base_model_id AS "baseModelId", operations, tokens, seconds FROM (
        ${newest(Prisma.empty)} UNION ${newest(Prisma.sql`AND jobs.base_model_id = ${baseModelId}`)}
      ) AS both_lists
      WHERE operations > 0 AND tokens > 0 AND seconds > 0 ORDER BY id`;
  },

  async outbox() {
    const { _count, _min } = await db.outbox.aggregate({ _count: true, _min: { createdAt: true } });
    return { entries: _count, oldestAt: isoOrNull(_min.createdAt) };
  },
});
