import { type Evaluation, type Gate } from '@lowrank/contracts';
import { type EvaluationRepository, type GateRepository } from '@lowrank/domain';
import { Prisma } from '../generated/client';
import { type DatasetModel, type EvaluationModel, type GateModel } from '../generated/models';
import { fromJson, iso, storableText, toJson, type Tx } from '../values';

const toEvaluation = (adapter: string, version: number, row: EvaluationModel): Evaluation => ({
  jobId: row.jobId,
  adapter,
  version,
  dataset: { id: row.datasetId, filename: row.datasetFilename, sha256: row.datasetSha256 },
  limits: fromJson(row.limits),
  rows: row.rows,
  results: fromJson(row.results),
  move: fromJson(row.move),
  createdAt: iso(row.createdAt),
});

/** Answers are text of any kind; what Postgres cannot keep of it goes. */
const storable = (results: Evaluation['results']): Evaluation['results'] =>
  results.map(({ failures, ...result }) => ({
    ...result,
    failures: failures.map(({ row, answer, problem }) => ({
      ...{ row, answer: storableText(answer), problem: storableText(problem) },
    })),
  }));

export const evaluationRepository = (db: Tx): EvaluationRepository => ({
  async publish(teamId, { jobId, versionId, rows, results }, { dataset, limits, move, at }) {
    if ((await db.evaluation.findUnique({ where: { jobId } })) !== null) return;
    await db.evaluation.create({
      data: {
        ...{ jobId, teamId, versionId, rows, createdAt: new Date(at) },
        ...{ datasetId: dataset.id, datasetFilename: dataset.filename, datasetSha256: dataset.sha256 },
        ...{ limits: toJson(limits), results: toJson(storable(results)) },
        move: move === null ? Prisma.DbNull : toJson(move),
      },
    });
  },

  async setMove(jobId, move) {
    await db.evaluation.update({ where: { jobId }, data: { move: toJson(move) } });
  },

  async list(teamId, adapter, version) {
    const rows = await db.evaluation.findMany({
      where: { teamId, version: { number: version, adapter: { teamId, name: adapter } } },
      orderBy: [{ createdAt: 'desc' }, { jobId: 'desc' }],
    });
    return rows.map((row) => toEvaluation(adapter, version, row));
  },
});

type GateRow = GateModel & { dataset: Pick<DatasetModel, 'id' | 'filename' | 'sha256'> };
const withDataset = { include: { dataset: { select: { id: true, filename: true, sha256: true } } } } as const;

const toGate = (adapter: string, row: GateRow): Gate => ({
  adapter,
  alias: row.alias,
  dataset: row.dataset,
  checks: fromJson(row.checks),
  limits: fromJson(row.limits),
  createdAt: iso(row.createdAt),
  createdBy: row.createdBy,
});

export const gateRepository = (db: Tx): GateRepository => ({
  async list(teamId, adapter) {
    const where = { teamId, adapter: { name: adapter } };
    const rows = await db.gate.findMany({ where, orderBy: { alias: 'asc' }, ...withDataset });
    return rows.map((row) => toGate(adapter, row));
  },

  async find(teamId, adapter, alias) {
    const where = { teamId, adapter: { name: adapter }, alias };
    const row = await db.gate.findFirst({ where, ...withDataset });
    return row && toGate(adapter, row);
  },

  async put(teamId, { adapter, alias, dataset, checks, limits, createdAt, createdBy }) {
    const { id: adapterId } = await db.adapter.findUniqueOrThrow({
      where: { teamId_name: { teamId, name: adapter } },
      select: { id: true },
    });
    const place = { teamId, adapterId, alias };
    const data = {
      ...{ datasetId: dataset.id, checks: toJson(checks), limits: toJson(limits) },
      ...{ createdAt: new Date(createdAt), createdBy },
    };
    await db.gate.upsert({
      where: { teamId_adapterId_alias: place },
      create: { ...place, ...data },
      update: data,
    });
  },

  async remove(teamId, adapter, alias) {
    const where = { teamId, adapter: { name: adapter }, alias };
    return (await db.gate.deleteMany({ where })).count > 0;
  },
});
