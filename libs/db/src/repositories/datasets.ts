import { type Dataset, finalJobStates, LowrankError } from '@lowrank/contracts';
import { type DatasetRepository } from '@lowrank/domain';
import { type DatasetModel } from '../generated/models';
import { placed, readPage } from '../paging';
import { dateOrNull, iso, isoOrNull, numberOrNull, type Tx } from '../values';

const toDataset = (row: DatasetModel): Dataset => ({
  id: row.id,
  filename: row.filename,
  bytes: Number(row.bytes),
  sha256: row.sha256,
  format: row.format as Dataset['format'],
  rows: Number(row.rows),
  tokens: numberOrNull(row.tokens),
  lossTokens: numberOrNull(row.lossTokens),
  tokensOf: row.tokensOf,
  createdAt: iso(row.createdAt),
  expiresAt: isoOrNull(row.expiresAt),
});

export const datasetRepository = (db: Tx): DatasetRepository => ({
  async insert(teamId, dataset) {
    const times = { createdAt: new Date(dataset.createdAt), expiresAt: dateOrNull(dataset.expiresAt) };
    await db.dataset.create({ data: { ...dataset, teamId, ...times } });
  },

  async find(teamId, id) {
    const row = await db.dataset.findFirst({ where: { teamId, id } });
    return row && toDataset(row);
  },

  async hold(teamId, id) {
    await db.$queryRaw`SELECT 1 FROM datasets WHERE team_id = ${teamId} AND id = ${id} FOR KEY SHARE`;
    return this.find(teamId, id);
  },

  list: (teamId, page) =>
    readPage(
      page,
      (id) => db.dataset.findFirst({ where: { teamId, id }, select: placed }),
      (beyond, window) => db.dataset.findMany({ where: { teamId, ...beyond }, ...window }),
      toDataset,
    ),

  expired: (now, limit) => db.$queryRaw<{ teamId: string; id: string }[]>`
    SELECT team_id AS "teamId", id FROM datasets
    WHERE expires_at <= ${new Date(now)} AND NOT EXISTS (
      SELECT 1 FROM jobs WHERE dataset_id = datasets.id AND state <> ALL (${[...finalJobStates]}))
      AND NOT EXISTS (SELECT 1 FROM gates WHERE dataset_id = datasets.id)
    ORDER BY expires_at LIMIT ${limit}`,

  async delete(teamId, id) {
    // Waits for transactions that are inserting a job on it (see JobRepository.insert) and keeps new ones waiting.
    const rows = await db.$queryRaw<
      unknown[]
    >`SELECT 1 FROM datasets WHERE team_id = ${teamId} AND id = ${id} FOR UPDATE`;
    if (rows.length === 0) return false;
    const user = await db.job.findFirst({
      where: { datasetId: id, state: { notIn: [...finalJobStates] } },
      select: { id: true, state: true },
    });
    if (user)
      throw new LowrankError('in_use', `Job ${user.id}, which is ${user.state}, trains on dataset ${id}.`);
    const gate = await db.gate.findFirst({
      where: { datasetId: id },
      select: { alias: true, adapter: { select: { name: true } } },
    });
    if (gate)
      throw new LowrankError(
        'in_use',
        `The gate of ${gate.adapter.name}@${gate.alias} measures on dataset ${id}.`,
        undefined,
        { help: 'Set another gate, or remove it, first.' },
      );
    await db.dataset.delete({ where: { id } });
    return true;
  },
});
