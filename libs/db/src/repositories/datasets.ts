import { type Dataset, finalJobStates, LowrankError } from '@lowrank/contracts';
import { type DatasetRepository } from '@lowrank/domain';
import { type DatasetModel } from '../generated/models';
import { placed, readPage } from '../paging';
import { iso, numberOrNull, type Tx } from '../values';

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
});

export const datasetRepository = (db: Tx): DatasetRepository => ({
  async insert(teamId, dataset) {
    await db.dataset.create({ data: { ...dataset, teamId, createdAt: new Date(dataset.createdAt) } });
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
      (older, window) => db.dataset.findMany({ where: { teamId, ...older }, ...window }),
      toDataset,
    ),

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
    await db.dataset.delete({ where: { id } });
    return true;
  },
});
