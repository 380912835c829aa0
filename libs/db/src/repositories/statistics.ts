import { type JobState } from '@lowrank/contracts';
import { type StatisticsRepository } from '@lowrank/domain';
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

  async outbox() {
    const { _count, _min } = await db.outbox.aggregate({ _count: true, _min: { createdAt: true } });
    return { entries: _count, oldestAt: isoOrNull(_min.createdAt) };
  },
});
