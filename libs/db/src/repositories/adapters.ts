import { type Adapter, type AdapterVersion, LowrankError } from '@lowrank/contracts';
import { type AdapterRepository } from '@lowrank/domain';
import { type AdapterModel, type AdapterVersionModel } from '../generated/models';
import { placed, readPage } from '../paging';
import { fromJson, iso, storableText, toJson, type Tx } from '../values';

/** An adapter's row with its aliases, and without its card, which only AdapterRepository.card reads. */
type AdapterRow = Omit<AdapterModel, 'card'> & { aliases: Adapter['aliases'] };

const withAliases = {
  include: { aliases: { select: { name: true, version: true }, orderBy: { name: 'asc' } } },
} as const;

const toAdapter = (row: AdapterRow): Adapter => ({
  id: row.id,
  name: row.name,
  sharedBy: null,
  baseModel: row.baseModel,
  description: row.description,
  tags: fromJson(row.tags),
  aliases: row.aliases,
  latestVersion: row.latestVersion,
  createdAt: iso(row.createdAt),
  updatedAt: iso(row.updatedAt),
});

const toVersion = (adapter: string, row: AdapterVersionModel): AdapterVersion => ({
  id: row.id,
  adapter,
  number: row.number,
  jobId: row.jobId,
  baseModel: { id: row.baseModelId, name: row.baseModelName, revision: row.baseModelRevision },
  dataset: { id: row.datasetId, sha256: row.datasetSha256 },
  recipe: fromJson(row.recipe),
  templateSha256: row.templateSha256,
  metrics: fromJson(row.metrics),
  files: fromJson(row.files),
  revision: row.revision,
  bytes: Number(row.bytes),
  createdAt: iso(row.createdAt),
});

/** `%`, `_` and `\` stand for something in LIKE; here they stand for themselves. */
const literally = (text: string): string => text.replace(/[\\%_]/g, '\\$&');

export const adapterRepository = (db: Tx): AdapterRepository => {
  const find: AdapterRepository['find'] = async (teamId, name) => {
    const row = await db.adapter.findUnique({ where: { teamId_name: { teamId, name } }, ...withAliases });
    return row && toAdapter(row);
  };
  return {
    async ensure(teamId, { id, name, baseModelName, at }) {
      const time = new Date(at);
      await db.adapter.createMany({
        data: [{ id, teamId, name, baseModel: baseModelName, createdAt: time, updatedAt: time }],
        skipDuplicates: true,
      });
      const where = { teamId_name: { teamId, name } };
      const row = await db.adapter.findUniqueOrThrow({ where, ...withAliases });
      if (row.baseModel !== baseModelName)
        throw new LowrankError(
          'conflict',
          `Adapter '${name}' is for base model '${row.baseModel}', not for '${baseModelName}'.`,
          undefined,
          { help: 'Choose another name for the adapter, or train on its base model.' },
        );
      return toAdapter(row);
    },

    find,

    async lock(teamId, name) {
      await db.$queryRaw`SELECT 1 FROM adapters WHERE team_id = ${teamId} AND name = ${name} FOR UPDATE`;
      return find(teamId, name);
    },

    async card(teamId, name) {
      const where = { teamId_name: { teamId, name } };
      return (await db.adapter.findUnique({ where, select: { card: true } }))?.card ?? null;
    },

    async describe(teamId, name, { at, description, card, tags }) {
      await db.adapter.updateMany({
        where: { teamId, name },
        data: {
          description: description === undefined ? undefined : storableText(description),
          card: typeof card === 'string' ? storableText(card) : card,
          tags: tags === undefined ? undefined : toJson(tags),
          updatedAt: new Date(at),
        },
      });
    },

    async list(teamId, { query, ...page }) {
      const there = { OR: [{ teamId }, { grants: { some: { toTeamId: teamId } } }] };
      const name = query ? { contains: literally(query.toLowerCase()) } : undefined;
      const { data, hasMore } = await readPage(
        page,
        (id) => db.adapter.findFirst({ where: { ...there, id }, select: placed }),
        (older, window) =>
          db.adapter.findMany({ where: { AND: [there, { name }, older] }, ...window, ...withAliases }),
        (row) => row,
      );
      const others = data.map((row) => row.teamId).filter((id) => id !== teamId);
      const teams =
        others.length === 0
          ? []
          : await db.team.findMany({ where: { id: { in: others } }, select: { id: true, name: true } });
      const sharedBy = new Map(teams.map((team) => [team.id, team.name]));
      return {
        data: data.map((row) => ({ ...toAdapter(row), sharedBy: sharedBy.get(row.teamId) ?? null })),
        hasMore,
      };
    },

    async publish(teamId, { id, manifest, at }) {
      // One publisher of an adapter at a time, so that numbers have no gaps and no twins.
      const [adapter] = await db.$queryRaw<{ id: string; latest: number | null }[]>`
      SELECT id, latest_version AS latest FROM adapters
      WHERE team_id = ${teamId} AND name = ${manifest.adapter} FOR UPDATE`;
      if (!adapter) throw new LowrankError('not_found', `There is no adapter '${manifest.adapter}'.`);
      const earlier = await db.adapterVersion.findFirst({
        where: { jobId: manifest.jobId, adapterId: adapter.id },
      });
      if (earlier) return toVersion(manifest.adapter, earlier);
      const number = (adapter.latest ?? 0) + 1;
      const row = await db.adapterVersion.create({
        data: {
          id,
          adapterId: adapter.id,
          number,
          jobId: manifest.jobId,
          baseModelId: manifest.baseModel.id,
          baseModelName: manifest.baseModel.name,
          baseModelRevision: manifest.baseModel.revision,
          datasetId: manifest.dataset.id,
          datasetSha256: manifest.dataset.sha256,
          recipe: toJson(manifest.recipe),
          templateSha256: manifest.templateSha256,
          metrics: toJson(manifest.metrics),
          files: toJson(manifest.files),
          bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
          createdAt: new Date(at),
        },
      });
      await db.adapter.update({
        where: { id: adapter.id },
        data: { latestVersion: number, updatedAt: new Date(at) },
      });
      return toVersion(manifest.adapter, row);
    },

    async versions(teamId, name) {
      const rows = await db.adapterVersion.findMany({
        where: { adapter: { teamId, name } },
        orderBy: { number: 'desc' },
      });
      return rows.map((row) => toVersion(name, row));
    },

    async version(teamId, name, number) {
      const row = await db.adapterVersion.findFirst({ where: { adapter: { teamId, name }, number } });
      return row && toVersion(name, row);
    },

    async versionByRevision(teamId, name, revision) {
      const row = await db.adapterVersion.findFirst({
        where: { adapter: { teamId, name }, revision },
        orderBy: { number: 'desc' },
      });
      return row && toVersion(name, row);
    },
  };
};
