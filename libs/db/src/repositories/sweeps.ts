import {
  finalJobStates,
  type JobState,
  type Manifest,
  type Sweep,
  type SweepMetric,
  type SweepState,
  type SweepTrial,
} from '@lowrank/contracts';
import { type SweepRecord, type SweepRepository } from '@lowrank/domain';
import { type Prisma } from '../generated/client';
import { type SweepModel } from '../generated/models';
import { placed, readPage } from '../paging';
import { dateOrNull, fromJson, iso, isoOrNull, toJson, type Tx } from '../values';

interface Counts {
  trialCount: number;
  finishedCount: number;
}

const toSweep = (row: SweepModel, counts: Counts): Sweep => ({
  id: row.id,
  state: row.state as SweepState,
  baseModel: { id: row.baseModelId, name: row.baseModelName, revision: row.baseModelRevision },
  dataset: { id: row.datasetId, filename: row.datasetFilename, sha256: row.datasetSha256 },
  validationDataset: fromJson(row.validationDataset),
  adapter: row.adapter,
  recipe: fromJson(row.recipe),
  space: fromJson(row.space),
  method: fromJson(row.method),
  metric: row.metric as SweepMetric,
  maxConcurrent: row.maxConcurrent,
  ...counts,
  cancelRequested: row.cancelRequested,
  promoted:
    row.promotedTrial === null || row.promotedVersion === null
      ? null
      : { trial: row.promotedTrial, version: row.promotedVersion },
  createdAt: iso(row.createdAt),
  finishedAt: isoOrNull(row.finishedAt),
});

interface TrialRow extends Omit<SweepTrial, 'state' | 'result'> {
  state: string;
  metrics: Manifest['metrics'] | null;
}

const toTrial = ({ state, metrics, ...row }: TrialRow): SweepTrial => ({
  ...row,
  state: state as JobState,
  result:
    metrics === null || metrics.evalLossAfter === null
      ? null
      : { loss: metrics.evalLossAfter, accuracy: metrics.evalAccuracyAfter },
});

export const sweepRepository = (db: Tx): SweepRepository => {
  /** In a statement of its own, so that after a lock it sees what others have committed meanwhile. */
  const countsOf = async (ids: string[]): Promise<Map<string, Counts>> => {
    const where = { sweepId: { in: ids } };
    const groups = await db.job.groupBy({ by: ['sweepId', 'state'], where, _count: true });
    const counts = new Map(ids.map((id): [string, Counts] => [id, { trialCount: 0, finishedCount: 0 }]));
    for (const { sweepId, state, _count } of groups) {
      const count = counts.get(sweepId ?? '');
      if (!count) continue;
      count.trialCount += _count;
      if (finalJobStates.includes(state as JobState)) count.finishedCount += _count;
    }
    return counts;
  };
  const withCounts = async (row: SweepModel): Promise<Sweep> =>
    toSweep(row, (await countsOf([row.id])).get(row.id) as Counts);

  return {
    async insert(
      teamId,
      { baseModel, dataset, validationDataset, recipe, space, method, createdAt, ...sweep },
    ) {
      await db.sweep.create({
        data: {
          ...sweep,
          teamId,
          state: 'running',
          baseModelId: baseModel.id,
          baseModelName: baseModel.name,
          baseModelRevision: baseModel.revision,
          datasetId: dataset.id,
          datasetFilename: dataset.filename,
          datasetSha256: dataset.sha256,
          ...(validationDataset === null ? {} : { validationDataset: toJson(validationDataset) }),
          recipe: toJson(recipe),
          space: toJson(space),
          method: toJson(method),
          createdAt: new Date(createdAt),
        },
      });
    },

    async addTrials(sweepId, trials) {
      await db.sweepTrial.createMany({
        data: trials.map(({ number, jobId, parameters }) => ({
          ...{ sweepId, number, jobId },
          parameters: toJson(parameters),
        })),
      });
    },

    async find(teamId, id) {
      const row = await db.sweep.findFirst({ where: { teamId, id } });
      return row && withCounts(row);
    },

    async list(teamId, { state, ...page }) {
      const where = { teamId, ...(state ? { state } : {}) };
      const { data, hasMore } = await readPage(
        page,
        (id) => db.sweep.findFirst({ where: { teamId, id }, select: placed }),
        (older, window) => db.sweep.findMany({ where: { ...where, ...older }, ...window }),
        (row) => row,
      );
      const counts = await countsOf(data.map(({ id }) => id));
      return { data: data.map((row) => toSweep(row, counts.get(row.id) as Counts)), hasMore };
    },

    async lock(id): Promise<SweepRecord | null> {
      const rows = await db.$queryRaw<unknown[]>`SELECT 1 FROM sweeps WHERE id = ${id} FOR UPDATE`;
      if (rows.length === 0) return null;
      const row = await db.sweep.findUniqueOrThrow({ where: { id } });
      return { ...(await withCounts(row)), teamId: row.teamId };
    },

    async update(id, { promoted, finishedAt, ...patch }) {
      const data: Prisma.SweepUpdateManyMutationInput = {
        ...patch,
        ...(promoted === undefined
          ? {}
          : { promotedTrial: promoted?.trial ?? null, promotedVersion: promoted?.version ?? null }),
        ...(finishedAt === undefined ? {} : { finishedAt: dateOrNull(finishedAt) }),
      };
      await db.sweep.updateMany({ where: { id }, data });
    },

    async unsettled(limit) {
      const rows = await db.sweep.findMany({
        where: {
          state: 'running',
          OR: [{ cancelRequested: true }, { jobs: { none: { state: { notIn: [...finalJobStates] } } } }],
        },
        orderBy: { id: 'asc' },
        take: limit,
        select: { id: true },
      });
      return rows.map(({ id }) => id);
    },

    async trials(id) {
      const rows = await db.$queryRaw<TrialRow[]>`
        SELECT t.number, t.job_id AS "jobId", t.parameters, j.state, j.step, j.total_steps AS "totalSteps",
          latest.evaluation AS latest, best.evaluation AS best,
          (SELECT max(rung) FROM sweep_reports r WHERE r.sweep_id = t.sweep_id AND r.trial = t.number) AS rung,
          j.stopped_early AS "stoppedEarly", t.manifest -> 'metrics' AS metrics, j.version
        FROM sweep_trials t
        JOIN sweeps s ON s.id = t.sweep_id
        JOIN jobs j ON j.id = t.job_id
        LEFT JOIN LATERAL (
          SELECT jsonb_build_object('step', step, 'loss', loss, 'accuracy', accuracy) AS evaluation
          FROM job_metrics WHERE job_id = t.job_id AND kind = 'eval' AND step > 0
          ORDER BY step DESC LIMIT 1
        ) latest ON true
        LEFT JOIN LATERAL (
          SELECT jsonb_build_object('step', step, 'loss', loss, 'accuracy', accuracy) AS evaluation
          FROM job_metrics WHERE job_id = t.job_id AND kind = 'eval' AND step > 0
          ORDER BY CASE s.metric WHEN 'loss' THEN loss ELSE -accuracy END, step LIMIT 1
        ) best ON true
        WHERE t.sweep_id = ${id} ORDER BY t.number`;
      return rows.map(toTrial);
    },

    async keepResult(sweepId, number, { versionId, manifest }) {
      await db.sweepTrial.updateMany({
        where: { sweepId, number, versionId: null },
        data: { versionId, manifest: toJson(manifest) },
      });
    },

    async result(sweepId, number) {
      const row = await db.sweepTrial.findUnique({ where: { sweepId_number: { sweepId, number } } });
      return row === null || row.versionId === null
        ? null
        : { versionId: row.versionId, manifest: fromJson(row.manifest) };
    },

    async report(sweepId, { at, ...report }) {
      const { count } = await db.sweepReport.createMany({
        data: [{ ...report, sweepId, at: new Date(at) }],
        skipDuplicates: true,
      });
      return count === 1;
    },

    async reported(sweepId, rung) {
      const rows = await db.sweepReport.findMany({ where: { sweepId, rung }, select: { value: true } });
      return rows.map(({ value }) => value);
    },
  };
};
