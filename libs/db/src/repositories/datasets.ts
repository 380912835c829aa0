import {
  type Dataset,
  datasetNameOf,
  finalJobStates,
  LowrankError,
  readDatasetRef,
} from '@lowrank/contracts';
import { type DatasetRepository } from '@lowrank/domain';
import { type DatasetModel } from '../generated/models';
import { placed, readPage } from '../paging';
import { dateOrNull, iso, isoOrNull, numberOrNull, type Tx } from '../values';

const toDataset = (row: DatasetModel): Dataset => ({
  id: row.id,
  name: row.name ?? datasetNameOf(row.filename),
  version: row.version ?? 1,
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
    const { name, version } = dataset;
    await db.$executeRaw`
      INSERT INTO dataset_names (team_id, name, last_version) VALUES (${teamId}, ${name}, ${version})
      ON CONFLICT (team_id, name) DO UPDATE SET last_version = GREATEST(dataset_names.last_version, ${version})`;
    const times = { createdAt: new Date(dataset.createdAt), expiresAt: dateOrNull(dataset.expiresAt) };
    await db.dataset.create({ data: { ...dataset, teamId, ...times } });
  },

  async find(teamId, text) {
    const ref = readDatasetRef(text);
    if (ref === null) return null;
    if ('id' in ref) {
      const row = await db.dataset.findFirst({ where: { teamId, id: ref.id } });
      return row && toDataset(row);
    }
    const { name, version } = ref;
    const isHash = version !== null && 'sha256' in version;
    const which =
      version === null
        ? {}
        : isHash
          ? { sha256: { startsWith: version.sha256 } }
          : { version: version.number };
    const rows = await db.dataset.findMany({
      where: { teamId, name, ...which },
      orderBy: { version: 'desc' },
      take: 2,
    });
    return rows[0] && (rows.length === 1 || !isHash) ? toDataset(rows[0]) : null;
  },

  async withIds(teamId, ids) {
    return (await db.dataset.findMany({ where: { teamId, id: { in: [...ids] } } })).map(toDataset);
  },

  async lockName(teamId, name) {
    const [row] = await db.$queryRaw<{ last: number }[]>`
      INSERT INTO dataset_names (team_id, name) VALUES (${teamId}, ${name})
      ON CONFLICT (team_id, name) DO UPDATE SET last_version = dataset_names.last_version
      RETURNING last_version AS last`;
    return row?.last ?? 0;
  },

  async findContent(teamId, { name, sha256, format }) {
    const row = await db.dataset.findFirst({
      where: { teamId, name, sha256, format },
      orderBy: { version: 'desc' },
    });
    return row && toDataset(row);
  },

  async change(teamId, id, { tokens, lossTokens, tokensOf, expiresAt }) {
    await db.dataset.updateMany({
      where: { teamId, id },
      data: { tokens, lossTokens, tokensOf, expiresAt: dateOrNull(expiresAt) },
    });
  },

  async hold(teamId, id) {
    await db.$queryRaw`SELECT 1 FROM datasets WHERE team_id = ${teamId} AND id = ${id} FOR KEY SHARE`;
    return this.find(teamId, id);
  },

  list: (teamId, { name, ...page }) =>
    readPage(
      page,
      (id) => db.dataset.findFirst({ where: { teamId, id }, select: placed }),
      (beyond, window) => db.dataset.findMany({ where: { teamId, name, ...beyond }, ...window }),
      toDataset,
    ),

  expired: (now, limit) => db.$queryRaw<{ teamId: string; id: string }[]>`
    SELECT team_id AS "teamId", id FROM datasets
    WHERE expires_at <= ${new Date(now)} AND NOT EXISTS (
      SELECT 1 FROM jobs WHERE (dataset_id = datasets.id OR validation_dataset ->> 'id' = datasets.id) AND state <> ALL (${[...finalJobStates]}))
      AND NOT EXISTS (SELECT 1 FROM gates WHERE dataset_id = datasets.id)
    ORDER BY expires_at LIMIT ${limit}`,

  async delete(teamId, id) {
    // Waits for transactions that are inserting a job on it (see JobRepository.insert) and keeps new ones waiting.
    const rows = await db.$queryRaw<
      unknown[]
    >`SELECT 1 FROM datasets WHERE team_id = ${teamId} AND id = ${id} FOR UPDATE`;
    if (rows.length === 0) return false;
    const user = await db.job.findFirst({
      where: {
        OR: [{ datasetId: id }, { validationDataset: { path: ['id'], equals: id } }],
        state: { notIn: [...finalJobStates] },
      },
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
