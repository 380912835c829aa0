import { finalJobStates, type JobState, jobStateSchema, type Placement } from '@lowrank/contracts';
import { type FinishedRun, heldStates, type StatisticsRepository } from '@lowrank/domain';
import { Prisma } from '../generated/client';
import { iso, isoOrNull, numberOrNull, type Tx } from '../values';

const unfinishedStates = jobStateSchema.options.filter((state) => !finalJobStates.includes(state));

export const statisticsRepository = (db: Tx): StatisticsRepository => ({
  async jobsByState(teamId) {
    const rows = await db.job.groupBy({ by: ['state'], where: { teamId }, _count: true });
    return rows.map(({ state, _count }) => ({ state: state as JobState, count: _count }));
  },

  async queuedByDeviceClass({ teamId, startableAt }) {
    const ofTeam = teamId === undefined ? Prisma.empty : Prisma.sql`AND team_id = ${teamId}`;
    const mayStart =
      startableAt === undefined
        ? Prisma.empty
        : Prisma.sql`AND (not_before IS NULL OR not_before <= ${new Date(startableAt)})`;
    const rows = await db.$queryRaw<{ deviceClass: string | null; count: bigint }[]>`
      SELECT class AS "deviceClass", count(*) AS count
      FROM jobs LEFT JOIN LATERAL jsonb_array_elements_text(
        CASE jsonb_typeof(placement -> 'deviceClasses') WHEN 'array' THEN placement -> 'deviceClasses' ELSE '[]' END
      ) AS named (class) ON true
      WHERE state = 'queued' ${ofTeam} ${mayStart} GROUP BY class ORDER BY class NULLS FIRST`;
    return rows.map(({ deviceClass, count }) => ({ deviceClass, count: Number(count) }));
  },

  async jobsUse({ monthStart, teamId }) {
    const ofTeam = teamId === undefined ? Prisma.empty : Prisma.sql`AND team_id = ${teamId}`;
    const month = new Date(monthStart);
    const rows = await db.$queryRaw<{ teamId: string; tokens: bigint; running: bigint; queued: bigint }[]>`
      SELECT team_id AS "teamId", sum(tokens)::int8 AS tokens, sum(running)::int8 AS running, sum(queued)::int8 AS queued
      FROM (
        -- From an index alone, since there may be very many.
        SELECT team_id, sum(trained_tokens) AS tokens, 0 AS running, 0 AS queued FROM jobs
        WHERE finished_at >= ${month} ${ofTeam} GROUP BY team_id
        UNION ALL
        SELECT team_id, sum(trained_tokens), count(*) FILTER (WHERE state = ANY(${[...heldStates]})),
          count(*) FILTER (WHERE state = 'queued') FROM jobs
        WHERE state = ANY(${unfinishedStates}) ${ofTeam} GROUP BY team_id
      ) counted GROUP BY team_id ORDER BY team_id`;
    return rows.map((row) => ({
      teamId: row.teamId,
      trainedTokens: Number(row.tokens),
      running: Number(row.running),
      queued: Number(row.queued),
    }));
  },

  async queue({ after, limit }) {
    // Prisma's cursor would want that one to be queued still.
    const last =
      after === undefined
        ? null
        : await db.job.findUnique({ where: { id: after }, select: { id: true, queuedAt: true } });
    const rows = await db.job.findMany({
      where: {
        state: 'queued',
        ...(last === null
          ? {}
          : { OR: [{ queuedAt: { gt: last.queuedAt } }, { queuedAt: last.queuedAt, id: { gt: last.id } }] }),
      },
      include: { team: { select: { id: true, name: true } } },
      orderBy: [{ queuedAt: 'asc' }, { id: 'asc' }],
      take: limit,
    });
    return rows.map(({ id, team, priority, epoch, ...row }) => ({
      ...{ id, team, priority, epoch },
      placement: row.placement as Placement,
      estimatedBytes: numberOrNull(row.estimatedBytes),
      queuedAt: iso(row.queuedAt),
      notBefore: isoOrNull(row.notBefore),
      waitingFor: row.assignedTo === null ? row.waitingFor : null,
      assignedTo: row.assignedTo,
    }));
  },

  async database() {
    const [row] = await db.$queryRaw<{ version: string; bytes: bigint }[]>`
      SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS bytes`;
    return { version: row?.version ?? '', bytes: Number(row?.bytes ?? 0) };
  },

  async finishedRuns({ deviceClasses, baseModelId, limit }) {
    const newest = (condition: Prisma.Sql) => Prisma.sql`
      SELECT runs.* FROM unnest(${deviceClasses}::text[]) AS named (class) CROSS JOIN LATERAL (
        SELECT jobs.id, device_class, jobs.base_model_id, (estimate ->> 'operations')::float8 AS operations,
          (metrics ->> 'trainedTokens')::float8 AS tokens, (metrics ->> 'seconds')::float8 AS seconds
        FROM jobs JOIN adapter_versions ON adapter_versions.job_id = jobs.id
        WHERE adapter_versions.checkpoint_step IS NULL AND state = 'succeeded' AND device_class = named.class
          AND estimate ->> 'operations' IS NOT NULL ${condition}
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
