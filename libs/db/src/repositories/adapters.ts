import {
  type Adapter,
  type AdapterVersion,
  LowrankError,
  methodOf,
  type Parent,
  type Recipe,
  type VersionMetrics,
} from '@lowrank/contracts';
import { type AdapterRepository, type Deed } from '@lowrank/domain';
import { Prisma } from '../generated/client';
import { type AdapterModel, type AdapterVersionModel, type VersionParentModel } from '../generated/models';
import { dateOrNull, fromJson, iso, isoOrNull, storableText, toJson, type Tx } from '../values';
import { findAdapters } from './adapter-search';

/** An adapter's row with aliases and newest version, and without its card, which only AdapterRepository.card reads. */
type AdapterRow = Omit<AdapterModel, 'card'> & {
  aliases: Adapter['aliases'];
  newest: Pick<AdapterVersionModel, 'recipe' | 'metrics'> | null;
};

const shown = {
  include: {
    aliases: { select: { name: true, version: true }, orderBy: { name: 'asc' } },
    newest: { select: { recipe: true, metrics: true } },
  },
} as const;

function latestOf({ newest }: AdapterRow): Adapter['latest'] {
  if (newest === null) return null;
  const recipe = fromJson<Recipe>(newest.recipe);
  const { evalLossAfter: loss, evalAccuracyAfter: accuracy } = fromJson<VersionMetrics>(newest.metrics);
  return { objective: recipe.objective.type, method: methodOf(recipe), loss, accuracy };
}

const toAdapter = (row: AdapterRow): Adapter => ({
  id: row.id,
  name: row.name,
  sharedBy: null,
  createdBy: fromJson(row.createdBy),
  baseModel: row.baseModel,
  description: row.description,
  tags: fromJson(row.tags),
  aliases: row.aliases,
  latestVersion: row.latestVersion,
  latest: latestOf(row),
  createdAt: iso(row.createdAt),
  updatedAt: iso(row.updatedAt),
  deletedAt: isoOrNull(row.deletedAt),
});

type VersionRow = AdapterVersionModel & {
  adapter: { name: string };
  parents: Omit<VersionParentModel, 'versionId'>[];
};

const withParents = {
  include: {
    adapter: { select: { name: true } },
    parents: { orderBy: [{ adapter: 'asc' }, { number: 'asc' }] },
  },
} satisfies Prisma.AdapterVersionDefaultArgs;

const toVersion = (row: VersionRow): AdapterVersion => ({
  id: row.id,
  adapter: row.adapter.name,
  number: row.number,
  jobId: row.jobId,
  checkpointStep: row.checkpointStep,
  baseModel: { id: row.baseModelId, name: row.baseModelName, revision: row.baseModelRevision },
  dataset:
    row.datasetId === null || row.datasetSha256 === null
      ? null
      : { id: row.datasetId, sha256: row.datasetSha256 },
  recipe: fromJson(row.recipe),
  parents: row.parents.map(({ parentId: versionId, kind, adapter, number }) => ({
    ...{ versionId, adapter, number },
    kind: kind as Parent['kind'],
  })),
  templateSha256: row.templateSha256,
  metrics: fromJson(row.metrics),
  certificate: fromJson(row.certificate),
  files: fromJson(row.files),
  revision: row.revision,
  bytes: Number(row.bytes),
  createdAt: iso(row.createdAt),
  deletedAt: isoOrNull(row.deletedAt),
});

/** `deed`: who makes adapters. */
export const adapterRepository = (db: Tx, deed: Deed | null): AdapterRepository => {
  const find: AdapterRepository['find'] = async (teamId, name) => {
    const where = { teamId_name: { teamId, name }, deletedAt: null };
    const row = await db.adapter.findUnique({ where, ...shown });
    return row && toAdapter(row);
  };
  return {
    async ensure(teamId, { id, name, baseModelName, at }) {
      const time = new Date(at);
      await db.adapter.createMany({
        data: [
          {
            ...{ id, teamId, name, baseModel: baseModelName, createdAt: time, updatedAt: time },
            createdBy: deed === null ? Prisma.DbNull : toJson(deed.actor),
          },
        ],
        skipDuplicates: true,
      });
      // Whoever deletes it now, waits for what is made with it, or this waits for them.
      await db.$queryRaw`SELECT 1 FROM adapters WHERE team_id = ${teamId} AND name = ${name} FOR KEY SHARE`;
      const where = { teamId_name: { teamId, name } };
      const row = await db.adapter.findUniqueOrThrow({ where, ...shown });
      if (row.deletedAt !== null)
        throw new LowrankError('conflict', `Adapter '${name}' is deleted.`, undefined, {
          help: 'Restore it, or choose another name for the adapter.',
        });
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

    async list(teamId, query) {
      const { ids, hasMore } = await findAdapters(db, teamId, query);
      const rows = await db.adapter.findMany({ where: { id: { in: ids } }, ...shown });
      const others = rows.map((row) => row.teamId).filter((id) => id !== teamId);
      const teams =
        others.length === 0
          ? []
          : await db.team.findMany({ where: { id: { in: others } }, select: { id: true, name: true } });
      const sharedBy = (id: string) => teams.find((team) => team.id === id)?.name ?? null;
      const byId = new Map(
        rows.map((row) => {
          const other = sharedBy(row.teamId);
          const adapter = toAdapter(row);
          return [
            row.id,
            { ...adapter, sharedBy: other, createdBy: other === null ? adapter.createdBy : null },
          ];
        }),
      );
      return { data: ids.flatMap((id) => byId.get(id) ?? []), hasMore };
    },

    async publish(teamId, { id, manifest, at }) {
      // One publisher of an adapter at a time, so that numbers have no gaps and no twins.
      const [adapter] = await db.$queryRaw<{ id: string; last: number }[]>`
      SELECT id, greatest(last_number, latest_version) AS last FROM adapters
      WHERE team_id = ${teamId} AND name = ${manifest.adapter} FOR UPDATE`;
      if (!adapter) throw new LowrankError('not_found', `There is no adapter '${manifest.adapter}'.`);
      const { jobId, checkpointStep = null } = manifest;
      const where = { jobId, checkpointStep, adapterId: adapter.id };
      const isOnce = jobId !== null && checkpointStep === null;
      const earlier = isOnce ? await db.adapterVersion.findFirst({ where, ...withParents }) : null;
      if (earlier) return toVersion(earlier);
      const number = adapter.last + 1;
      const row = await db.adapterVersion.create({
        data: {
          id,
          adapterId: adapter.id,
          number,
          jobId,
          checkpointStep,
          baseModelId: manifest.baseModel.id,
          baseModelName: manifest.baseModel.name,
          baseModelRevision: manifest.baseModel.revision,
          datasetId: manifest.dataset?.id ?? null,
          datasetSha256: manifest.dataset?.sha256 ?? null,
          recipe: toJson(manifest.recipe),
          templateSha256: manifest.templateSha256,
          metrics: toJson(manifest.metrics),
          certificate: manifest.certificate === null ? Prisma.DbNull : toJson(manifest.certificate),
          files: toJson(manifest.files),
          bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
          createdAt: new Date(at),
          parents: {
            create: manifest.parents.map(({ versionId: parentId, ...parent }) => ({ parentId, ...parent })),
          },
        },
        ...withParents,
      });
      await db.adapter.update({
        where: { id: adapter.id },
        data: { latestVersion: number, lastNumber: number, updatedAt: new Date(at) },
      });
      return toVersion(row);
    },

    async allVersions(teamId, limit) {
      const rows = await db.adapterVersion.findMany({
        where: { adapter: { teamId, deletedAt: null }, deletedAt: null },
        orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
        take: limit,
        select: { number: true, createdAt: true, adapter: { select: { name: true } } },
      });
      return rows.map(({ adapter, number, createdAt }) => ({
        adapter: adapter.name,
        number,
        createdAt: iso(createdAt),
      }));
    },

    async versions(teamId, name, deleted = false) {
      const rows = await db.adapterVersion.findMany({
        where: { adapter: { teamId, name, deletedAt: null }, deletedAt: deleted ? { not: null } : null },
        orderBy: { number: 'desc' },
        ...withParents,
      });
      return rows.map(toVersion);
    },

    async version(teamId, name, number) {
      const where = { adapter: { teamId, name, deletedAt: null }, number, deletedAt: null };
      const row = await db.adapterVersion.findFirst({ where, ...withParents });
      return row && toVersion(row);
    },

    async versionById(teamId, id) {
      const row = await db.adapterVersion.findFirst({ where: { adapter: { teamId }, id }, ...withParents });
      return row && toVersion(row);
    },

    async related(teamId, id, limit) {
      // Postgres goes breadth first, and no further than the limit.
      const found = await db.$queryRaw<{ id: string }[]>`
      WITH RECURSIVE ancestors (id) AS (
        SELECT ${id}
        UNION SELECT parent_id FROM version_parents JOIN ancestors ON version_id = ancestors.id
      ), descendants (id) AS (
        SELECT ${id}
        UNION SELECT version_id FROM version_parents JOIN descendants ON parent_id = descendants.id
      )
      (SELECT id FROM ancestors LIMIT ${limit}) UNION (SELECT id FROM descendants LIMIT ${limit}) LIMIT ${limit}`;
      const rows = await db.adapterVersion.findMany({
        where: { adapter: { teamId }, id: { in: found.map((row) => row.id) } },
        orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
        ...withParents,
      });
      return rows.map(toVersion);
    },

    async versionByRevision(teamId, name, revision) {
      const row = await db.adapterVersion.findFirst({
        where: { adapter: { teamId, name, deletedAt: null }, revision, deletedAt: null },
        orderBy: { number: 'desc' },
        ...withParents,
      });
      return row && toVersion(row);
    },

    async setVersionDeleted(teamId, name, number, at) {
      const where = { adapter: { teamId, name }, number };
      const { count } = await db.adapterVersion.updateMany({ where, data: { deletedAt: dateOrNull(at) } });
      await db.$executeRaw`
      UPDATE adapters SET latest_version = (
        SELECT max(number) FROM adapter_versions WHERE adapter_id = adapters.id AND deleted_at IS NULL
      ) WHERE team_id = ${teamId} AND name = ${name}`;
      return count > 0;
    },

    async setDeleted(teamId, name, at) {
      const where = { teamId, name };
      return (await db.adapter.updateMany({ where, data: { deletedAt: dateOrNull(at) } })).count > 0;
    },
  };
};
