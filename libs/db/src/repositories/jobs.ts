import { finalJobStates, type Job, type JobState, LowrankError, training } from '@lowrank/contracts';
import {
  heldStates,
  type JobPatch,
  type JobRecord,
  type JobRepository,
  type Offer,
  type WaitingRecord,
} from '@lowrank/domain';
import { Prisma } from '../generated/client';
import { type JobModel } from '../generated/models';
import { placed, readPage } from '../paging';
import { dateOrNull, fromJson, iso, isoOrNull, numberOrNull, storableText, toJson, type Tx } from '../values';
import { jobLog } from './job-log';

/** A job's row without its estimate, which only JobRepository.detail reads. */
type JobRow = Omit<JobModel, 'estimate'>;

const toJob = (row: JobRow): Job => ({
  id: row.id,
  work: fromJson(row.work) ?? training,
  state: row.state as JobState,
  epoch: row.epoch,
  baseModel: { id: row.baseModelId, name: row.baseModelName, revision: row.baseModelRevision },
  dataset: { id: row.datasetId, filename: row.datasetFilename, sha256: row.datasetSha256 },
  validationDataset: fromJson(row.validationDataset),
  adapter: row.adapter,
  recipe: fromJson(row.recipe),
  initFrom: fromJson(row.initFrom),
  metadata: fromJson(row.metadata),
  step: row.step,
  totalSteps: row.totalSteps,
  trainedTokens: Number(row.trainedTokens),
  waitingFor: row.state === 'queued' && row.assignedTo === null ? row.waitingFor : null,
  cancelRequested: row.cancelRequested,
  pauseRequested: row.pauseRequested,
  priority: row.priority,
  placement: fromJson(row.placement),
  notBefore: isoOrNull(row.notBefore),
  deadline: isoOrNull(row.deadline),
  deviceSeconds: row.deviceSeconds,
  clonedFrom: row.clonedFrom,
  sweep: row.sweepId === null ? null : { id: row.sweepId, trial: row.trial ?? 0 },
  stoppedEarly: fromJson(row.stoppedEarly),
  version: row.version,
  error: fromJson(row.error),
  createdAt: iso(row.createdAt),
  startedAt: isoOrNull(row.startedAt),
  finishedAt: isoOrNull(row.finishedAt),
});

export const toJobRecord = (row: JobRow): JobRecord => ({
  ...toJob(row),
  waitingFor: row.waitingFor,
  teamId: row.teamId,
  fruitlessAttempts: row.fruitlessAttempts,
  memoryRetries: row.memoryRetries,
  deviceFailures: row.deviceFailures,
  checkpointStep: row.checkpointStep,
  mirroredStep: row.mirroredStep,
  workerId: row.workerId,
  heartbeatAt: isoOrNull(row.heartbeatAt),
  preemptRequested: row.preemptRequested,
  queuedAt: iso(row.queuedAt),
  rankAt: iso(row.rankAt),
  assignedTo: row.assignedTo,
  assignedAt: isoOrNull(row.assignedAt),
  attemptStartedAt: isoOrNull(row.attemptStartedAt),
  host: row.host,
  party: row.party,
  deviceClass: row.deviceClass,
  estimatedBytes: numberOrNull(row.estimatedBytes),
  sharedBytes: numberOrNull(row.sharedBytes),
  traceparent: row.traceParent,
});

/** The columns of a patch; what the patch does not name stays. */
function toColumns({
  error,
  stoppedEarly,
  startedAt,
  finishedAt,
  heartbeatAt,
  queuedAt,
  rankAt,
  assignedAt,
  attemptStartedAt,
  ...rest
}: JobPatch): Prisma.JobUpdateManyMutationInput {
  return {
    ...rest,
    ...(error === undefined
      ? {}
      : {
          error: error === null ? Prisma.DbNull : toJson({ ...error, message: storableText(error.message) }),
        }),
    ...(stoppedEarly === undefined
      ? {}
      : { stoppedEarly: stoppedEarly === null ? Prisma.DbNull : toJson(stoppedEarly) }),
    ...(startedAt === undefined ? {} : { startedAt: dateOrNull(startedAt) }),
    ...(finishedAt === undefined ? {} : { finishedAt: dateOrNull(finishedAt) }),
    ...(heartbeatAt === undefined ? {} : { heartbeatAt: dateOrNull(heartbeatAt) }),
    ...(queuedAt === undefined ? {} : { queuedAt: new Date(queuedAt) }),
    ...(rankAt === undefined ? {} : { rankAt: new Date(rankAt) }),
    ...(assignedAt === undefined ? {} : { assignedAt: dateOrNull(assignedAt) }),
    ...(attemptStartedAt === undefined ? {} : { attemptStartedAt: dateOrNull(attemptStartedAt) }),
  };
}

const placedColumns = {
  id: true,
  epoch: true,
  teamId: true,
  state: true,
  priority: true,
  placement: true,
  estimatedBytes: true,
  sharedBytes: true,
  rankAt: true,
  workerId: true,
  assignedTo: true,
  assignedAt: true,
  attemptStartedAt: true,
  cancelRequested: true,
  pauseRequested: true,
  preemptRequested: true,
  party: true,
} as const;

interface WaitingRow extends Omit<WaitingRecord, 'queuedAt' | 'rankAt' | 'estimatedBytes' | 'sharedBytes'> {
  queuedAt: Date;
  rankAt: Date;
  estimatedBytes: bigint | null;
  sharedBytes: bigint | null;
}

/** Of a queued row of jobs: whether fewer trials of its sweep than may have a slot have one or come before it. */
const withinSweep = Prisma.sql`(sweep_id IS NULL OR (
  SELECT max_concurrent IS NULL OR max_concurrent > (
    SELECT count(*) FROM jobs other
    WHERE other.sweep_id = sweeps.id AND (
      other.state IN ('preparing', 'running', 'publishing') OR (
        other.state = 'queued' AND (
          other.assigned_to IS NOT NULL OR (other.rank_at, other.id) < (jobs.rank_at, jobs.id)
        )
      )
    )
  ) FROM sweeps WHERE sweeps.id = jobs.sweep_id
))`;

/** Of a row of jobs: whether it has room where a row of `offer` offers some. What a job needs follows needsOf of dispatch/placed.ts. */
const hasRoom = Prisma.sql`CASE
  WHEN offer."roomBytes" IS NULL THEN true
  ELSE COALESCE(COALESCE((placement ->> 'memoryBytes')::numeric, estimated_bytes) <= offer."roomBytes", offer."hasShare")
END`;

const toWaiting = (row: WaitingRow): WaitingRecord => ({
  ...row,
  queuedAt: iso(row.queuedAt),
  rankAt: iso(row.rankAt),
  estimatedBytes: numberOrNull(row.estimatedBytes),
  sharedBytes: numberOrNull(row.sharedBytes),
});

/** The first jobs by rank that may start and fulfil the condition, by a walk along an index. */
const firstWaiting = (now: string, condition: Prisma.Sql, most: Prisma.Sql) => Prisma.sql`
  SELECT id, epoch, team_id AS "teamId", priority, placement, queued_at AS "queuedAt",
    rank_at AS "rankAt", host, estimated_bytes AS "estimatedBytes", shared_bytes AS "sharedBytes",
    waiting_for AS "waitingFor"
  FROM jobs
  WHERE ${condition} AND state = 'queued' AND assigned_to IS NULL
    AND (not_before IS NULL OR not_before <= ${new Date(now)}) AND ${withinSweep}
  ORDER BY rank_at, id LIMIT ${most}`;

/**
 * `kinds`: which lists of device classes the waiting jobs of each team name. Each step jumps to the next in the index, past however many
 * jobs are of the one before, so that a long queue for one class costs nothing when there is room on another.
 */
const waitingKinds = Prisma.sql`kinds AS (
  (
    SELECT team_id, placement -> 'deviceClasses' AS classes FROM jobs
    WHERE state = 'queued' AND assigned_to IS NULL ORDER BY 1, 2 LIMIT 1
  )
  UNION ALL
  SELECT next.* FROM kinds CROSS JOIN LATERAL (
    SELECT jobs.team_id, placement -> 'deviceClasses' FROM jobs
    WHERE state = 'queued' AND assigned_to IS NULL
      AND (jobs.team_id, placement -> 'deviceClasses') > (kinds.team_id, kinds.classes)
    ORDER BY 1, 2 LIMIT 1
  ) next
)`;

export const jobRepository = (db: Tx, traceparent: string | null): JobRepository => ({
  ...jobLog(db),

  async insert(teamId, ...jobs) {
    // The other half of DatasetRepository.delete: a dataset that a job is being made on cannot go away meanwhile.
    for (const id of [jobs[0]?.dataset.id, jobs[0]?.validationDataset?.id]) {
      if (id === undefined) continue;
      const dataset = await db.$queryRaw<unknown[]>`
        SELECT 1 FROM datasets WHERE team_id = ${teamId} AND id = ${id} FOR KEY SHARE`;
      if (dataset.length === 0) throw new LowrankError('not_found', `There is no dataset ${id}.`);
    }
    await db.job.createMany({
      data: jobs.map((job) => ({
        id: job.id,
        teamId,
        state: 'queued',
        epoch: 1,
        baseModelId: job.baseModel.id,
        baseModelName: job.baseModel.name,
        baseModelRevision: job.baseModel.revision,
        datasetId: job.dataset.id,
        datasetFilename: job.dataset.filename,
        datasetSha256: job.dataset.sha256,
        ...(job.validationDataset === null ? {} : { validationDataset: toJson(job.validationDataset) }),
        adapter: job.adapter,
        recipe: toJson(job.recipe),
        ...(job.work.kind === 'train' ? {} : { work: toJson(job.work) }),
        initFrom: job.initFrom === null ? Prisma.DbNull : toJson(job.initFrom),
        metadata: toJson(job.metadata),
        createdAt: new Date(job.createdAt),
        priority: job.priority,
        placement: toJson(job.placement),
        notBefore: dateOrNull(job.notBefore),
        deadline: dateOrNull(job.deadline),
        clonedFrom: job.clonedFrom,
        sweepId: job.sweep?.id,
        trial: job.sweep?.trial,
        queuedAt: new Date(job.queuedAt),
        rankAt: new Date(job.rankAt),
        traceParent: traceparent,
        ...(job.estimate === null ? {} : { estimate: toJson(job.estimate) }),
        estimatedBytes: job.estimate?.memory?.bytes,
        sharedBytes: job.estimate?.memory?.sharedBytes,
      })),
    });
  },

  async find(teamId, id) {
    const row = await db.job.findFirst({ where: { teamId, id } });
    return row && toJob(row);
  },

  async detail(teamId, id) {
    const row = await db.job.findFirst({ where: { teamId, id }, omit: { estimate: false } });
    return row && { ...toJob(row), estimate: fromJson(row.estimate) };
  },

  list(teamId, { state, kind, adapter, sweep, metadata = {}, ...page }) {
    const where = {
      teamId,
      ...(state ? { state } : {}),
      ...(kind
        ? { work: kind === 'train' ? { equals: Prisma.DbNull } : { path: ['kind'], equals: kind } }
        : {}),
      ...(adapter ? { adapter } : {}),
      ...(sweep ? { sweepId: sweep } : {}),
      AND: Object.entries(metadata).map(([name, text]) => ({ metadata: { path: [name], equals: text } })),
    };
    return readPage(
      page,
      (id) => db.job.findFirst({ where: { teamId, id }, select: placed }),
      (older, window) => db.job.findMany({ where: { ...where, ...older }, ...window }),
      toJob,
    );
  },

  async lock(id) {
    const rows = await db.$queryRaw<unknown[]>`SELECT 1 FROM jobs WHERE id = ${id} FOR UPDATE`;
    if (rows.length === 0) return null;
    return toJobRecord(await db.job.findUniqueOrThrow({ where: { id } }));
  },

  async update(id, epoch, patch) {
    const { count } = await db.job.updateMany({ where: { id, epoch }, data: toColumns(patch) });
    return count === 1;
  },

  async move(id, epoch, to, told, patch = {}) {
    const data = { ...toColumns(patch), state: to };
    const { count } = await db.job.updateMany({ where: { id, epoch }, data });
    if (count === 1) await jobLog(db).appendEvent(id, { ...told, epoch, type: 'state', state: to });
    return count === 1;
  },

  countUnfinished: (teamId, adapter) =>
    db.job.count({ where: { teamId, adapter, state: { notIn: [...finalJobStates] } } }),

  countQueued: (teamId) => db.job.count({ where: { teamId, state: 'queued' } }),

  async waiting(now, perTeam) {
    const rows = await db.$queryRaw<WaitingRow[]>`
      SELECT first.* FROM teams
      CROSS JOIN LATERAL (${firstWaiting(now, Prisma.sql`team_id = teams.id`, Prisma.sql`${perTeam}`)}) first
      ORDER BY first."rankAt", first.id`;
    return rows.map(toWaiting);
  },

  async suited(now, offers) {
    const ofKind = Prisma.sql`team_id = kinds.team_id AND placement -> 'deviceClasses' = kinds.classes AND ${hasRoom}`;
    const rows = await db.$queryRaw<WaitingRow[]>`
      WITH RECURSIVE ${waitingKinds}
      SELECT DISTINCT ON (first."rankAt", first.id) first.* FROM teams
      CROSS JOIN json_to_recordset(${JSON.stringify(offers satisfies Offer[])}::json)
        AS offer ("deviceClass" text, "roomBytes" numeric, "hasShare" bool, most int)
      CROSS JOIN LATERAL (
        SELECT of_kind.* FROM kinds
        CROSS JOIN LATERAL (${firstWaiting(now, ofKind, Prisma.sql`offer.most`)}) of_kind
        WHERE kinds.team_id = teams.id
          AND (kinds.classes = 'null' OR kinds.classes @> to_jsonb(offer."deviceClass"))
        ORDER BY "rankAt", id LIMIT offer.most
      ) first
      ORDER BY first."rankAt", first.id`;
    return rows.map(toWaiting);
  },

  async lockAlike(job, now, limit) {
    const rows = await db.$queryRaw<{ id: string }[]>`
      SELECT id FROM jobs
      WHERE team_id = ${job.teamId} AND base_model_id = ${job.baseModel.id} AND priority = ${job.priority}
        AND id <> ${job.id} AND work IS NULL AND state = 'queued' AND assigned_to IS NULL AND fruitless_attempts = 0
        AND (not_before IS NULL OR not_before <= ${new Date(now)}) AND ${withinSweep}
      ORDER BY rank_at, id LIMIT ${limit} FOR UPDATE SKIP LOCKED`;
    const found = await db.job.findMany({
      where: { id: { in: rows.map(({ id }) => id) } },
      orderBy: [{ rankAt: 'asc' }, { id: 'asc' }],
    });
    return found.map(toJobRecord);
  },

  async assign(choices, at) {
    if (choices.length === 0) return [];
    const rows = await db.$queryRaw<{ id: string }[]>`
      UPDATE jobs SET assigned_to = choice."workerId", assigned_at = ${new Date(at)}
      FROM json_to_recordset(${JSON.stringify(choices)}::json) AS choice ("jobId" text, epoch int, "workerId" text)
      WHERE id = choice."jobId" AND jobs.epoch = choice.epoch AND state = 'queued' AND assigned_to IS NULL
      RETURNING id`;
    return rows.map(({ id }) => id);
  },

  countAssignedAlike: ({ id, teamId, baseModel, priority }) =>
    db.job.count({
      where: {
        ...{ teamId, baseModelId: baseModel.id, priority, state: 'queued' },
        ...{ assignedTo: { not: null }, id: { not: id }, work: { equals: Prisma.DbNull } },
      },
    }),

  async placed() {
    const rows = await db.job.findMany({
      where: {
        OR: [{ state: { in: [...heldStates] } }, { state: 'queued', assignedTo: { not: null } }],
      },
      orderBy: { id: 'asc' },
      select: placedColumns,
    });
    return rows.map(({ state, placement, rankAt, assignedAt, attemptStartedAt, ...row }) => ({
      ...row,
      estimatedBytes: numberOrNull(row.estimatedBytes),
      sharedBytes: numberOrNull(row.sharedBytes),
      state: state as JobState,
      placement: fromJson(placement),
      rankAt: iso(rankAt),
      assignedAt: isoOrNull(assignedAt),
      attemptStartedAt: isoOrNull(attemptStartedAt),
    }));
  },

  finished: (ids) =>
    db.job.findMany({
      where: { id: { in: ids }, state: { in: [...finalJobStates] } },
      orderBy: { id: 'asc' },
      select: { id: true, epoch: true },
    }),

  async overdue(now, limit) {
    const rows = await db.job.findMany({
      where: { deadline: { lte: new Date(now) }, state: { notIn: [...finalJobStates] } },
      orderBy: [{ deadline: 'asc' }, { id: 'asc' }],
      take: limit,
    });
    return rows.map(toJobRecord);
  },

  async silent(before, limit) {
    const rows = await db.job.findMany({
      where: { state: { in: [...heldStates] }, heartbeatAt: { lt: new Date(before) } },
      orderBy: { heartbeatAt: 'asc' },
      take: limit,
    });
    return rows.map(toJobRecord);
  },
});
