import {
  type Adapter,
  type AdapterQuery,
  type AdapterSort,
  type AdapterVersion,
  LowrankError,
  type NewVersion,
  methodOf,
  wordsOf,
} from '@lowrank/contracts';
import { revisionOf } from '../catalog/revision';
import { type Deed } from '../ports/audit';
import { type Repositories } from '../ports/repositories';
import { byAge, compare, ofTeam, orNull, refuseUnless, withoutTeam } from './rows';
import { type Tables } from './tables';

/** What a manifest and its version have in common, without what only the manifest of a job has. */
const factsOf = (made: NewVersion): NewVersion & Pick<AdapterVersion, 'checkpointStep'> => {
  const { jobId, adapter, baseModel, dataset, recipe, parents, templateSha256, ...rest } = made;
  const { metrics, certificate, files, checkpointStep = null } = rest;
  return {
    ...{ jobId, checkpointStep, adapter, baseModel, dataset },
    ...{ recipe, parents, templateSha256, metrics, certificate, files },
  };
};

const latestOf = (version: AdapterVersion | undefined): Adapter['latest'] =>
  version === undefined
    ? null
    : {
        objective: version.recipe.objective.type,
        method: methodOf(version.recipe),
        loss: version.metrics.evalLossAfter,
        accuracy: version.metrics.evalAccuracyAfter,
      };

type Listed = Adapter & { card: string };

function matches(row: Listed, query: Partial<AdapterQuery>, owners: (string | undefined)[]): boolean {
  const { query: part = '', q = '', baseModel, owner, tag, objective, method, maxLoss, minAccuracy } = query;
  const { latest } = row;
  const text = [row.name, row.description, ...row.tags, row.card].join('\n').toLowerCase();
  return (
    row.name.includes(part.toLowerCase()) &&
    wordsOf(q).every((word) => text.includes(word.toLowerCase())) &&
    (baseModel ?? row.baseModel) === row.baseModel &&
    (owner === undefined || owners.includes(owner)) &&
    (tag === undefined || row.tags.includes(tag)) &&
    (objective === undefined || latest?.objective === objective) &&
    (method === undefined || latest?.method === method) &&
    (maxLoss === undefined || (latest?.loss ?? Infinity) <= maxLoss) &&
    (minAccuracy === undefined || (latest?.accuracy ?? -Infinity) >= minAccuracy)
  );
}

/** Negative where the first comes before the second. */
function orderOf(sort: AdapterSort): (a: Listed, b: Listed) => number {
  switch (sort) {
    case 'name':
      return (a, b) => compare(a.name, b.name);
    case 'loss':
      return (a, b) =>
        difference(a.latest?.loss ?? Infinity, b.latest?.loss ?? Infinity) || compare(a.id, b.id);
    case 'accuracy':
      return (a, b) =>
        difference(b.latest?.accuracy ?? -Infinity, a.latest?.accuracy ?? -Infinity) || compare(b.id, a.id);
    case 'updated':
      return (a, b) => compare(b.updatedAt, a.updatedAt) || compare(b.id, a.id);
    case 'created':
      return (a, b) => compare(b.createdAt, a.createdAt) || compare(b.id, a.id);
  }
}
const difference = (a: number, b: number): number => (a === b ? 0 : a - b);

export function adapterRepositoryOf(tables: Tables, deed: Deed | null): Repositories['adapters'] {
  /** Ids and names of who made it: a key, and the member whose own it is. */
  const ownersOf = ({ createdBy }: Listed): (string | undefined)[] => {
    const key = tables.apiKeys.find(({ id }) => id === createdBy?.id);
    const member = tables.users.find(({ id }) => id === key?.memberId);
    return [createdBy?.id, createdBy?.name, member?.id, member?.name];
  };
  const any = (teamId: string, name: string) =>
    tables.adapters.find((adapter) => adapter.teamId === teamId && adapter.name === name);
  const find = (teamId: string, name: string) => {
    const adapter = any(teamId, name);
    return adapter?.deletedAt === null ? adapter : undefined;
  };
  const toAdapter = ({
    teamId,
    card: _card,
    lastNumber: _last,
    ...row
  }: Tables['adapters'][number]): Adapter => ({
    ...row,
    sharedBy: null,
    latest: latestOf(allOf(teamId, row.name).find(({ number }) => number === row.latestVersion)),
    aliases: ofTeam(tables.aliases, teamId)
      .filter((alias) => alias.adapter === row.name)
      .map(({ name, version }) => ({ name, version }))
      .sort((a, b) => compare(a.name, b.name)),
  });
  const allOf = (teamId: string, name: string) =>
    ofTeam(tables.versions, teamId).filter((one) => one.adapter === name);
  const teamName = (id: string) => tables.teams.find((team) => team.id === id)?.name ?? '';
  const isGranted = ({ teamId, name }: Tables['adapters'][number], toTeamId: string) =>
    tables.grants.some((one) => one.teamId === teamId && one.adapter === name && one.toTeamId === toTeamId);
  const versionsOf = (teamId: string, name: string, deleted = false) =>
    find(teamId, name) ? allOf(teamId, name).filter((one) => (one.deletedAt !== null) === deleted) : [];
  return {
    ensure: async (teamId, { id, name, baseModelName, at }) => {
      const existing = any(teamId, name);
      if (existing && existing.deletedAt !== null)
        throw new LowrankError('conflict', `Adapter '${name}' is deleted.`);
      if (existing && existing.baseModel !== baseModelName)
        throw new LowrankError('conflict', `Adapter '${name}' is for base model '${existing.baseModel}'.`);
      if (existing) return toAdapter(existing);
      const times = { createdAt: at, updatedAt: at, deletedAt: null, lastNumber: 0 };
      const said = { description: '', tags: [], card: null, createdBy: deed?.actor ?? null };
      const adapter = { id, teamId, name, baseModel: baseModelName, latestVersion: null, ...said, ...times };
      tables.adapters.push(adapter);
      return toAdapter(adapter);
    },
    find: async (teamId, name) => orNull(find(teamId, name), toAdapter),
    lock: async (teamId, name) => orNull(find(teamId, name), toAdapter),
    list: async (teamId, query) => {
      const rows = tables.adapters
        .filter((row) => row.teamId === teamId || (!query.deleted && isGranted(row, teamId)))
        .map((row) => ({
          ...toAdapter(row),
          ...(row.teamId === teamId ? {} : { sharedBy: teamName(row.teamId), createdBy: null }),
          card: row.card ?? '',
        }));
      const last = rows.find(({ id }) => id === query.after);
      if (query.after !== undefined && !last)
        throw new LowrankError(
          'validation_failed',
          `There is nothing with id '${query.after}' to list on from.`,
        );
      const inOrder = orderOf(query.sort ?? 'created');
      const rest = rows
        .filter(
          (row) =>
            (row.deletedAt !== null) === (query.deleted ?? false) &&
            matches(row, query, ownersOf(row)) &&
            (!last || inOrder(row, last) > 0),
        )
        .sort(inOrder);
      const data = rest.slice(0, query.limit).map(({ card: _card, ...adapter }) => adapter);
      return { data, hasMore: rest.length > query.limit };
    },
    card: async (teamId, name) => find(teamId, name)?.card ?? null,
    describe: async (teamId, name, { at, ...changes }) => {
      const adapter = find(teamId, name);
      if (adapter) Object.assign(adapter, changes, { updatedAt: at });
    },
    publish: async (teamId, { id, manifest, at }) => {
      const adapter = any(teamId, manifest.adapter);
      if (!adapter) throw new LowrankError('not_found', `There is no adapter '${manifest.adapter}'.`);
      const isOfJob = manifest.jobId !== null;
      const isOnce = isOfJob && (manifest.checkpointStep ?? null) === null;
      const isSame = (one: AdapterVersion) => one.jobId === manifest.jobId && one.checkpointStep === null;
      const earlier = allOf(teamId, manifest.adapter).find(isSame);
      if (isOnce && earlier) return withoutTeam(earlier);
      if (isOnce && tables.versions.some(isSame))
        throw new LowrankError('conflict', `Job ${manifest.jobId} has published under another name.`);
      refuseUnless(!isOfJob || tables.jobs.some((job) => job.id === manifest.jobId), 'job');
      const number = adapter.lastNumber + 1;
      const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
      const revision = revisionOf(manifest.files);
      const version = { ...factsOf(manifest), id, number, revision, bytes, createdAt: at, deletedAt: null };
      Object.assign(adapter, { latestVersion: number, lastNumber: number, updatedAt: at });
      tables.versions.push({ ...version, teamId });
      return version;
    },
    allVersions: async (teamId, limit) =>
      ofTeam(tables.versions, teamId)
        .filter(({ adapter, deletedAt }) => deletedAt === null && find(teamId, adapter) !== undefined)
        .sort((a, b) => byAge(b, a))
        .slice(0, limit)
        .map(({ adapter, number, createdAt }) => ({ adapter, number, createdAt })),
    versions: async (teamId, name, deleted) =>
      versionsOf(teamId, name, deleted)
        .sort((a, b) => b.number - a.number)
        .map(withoutTeam),
    version: async (teamId, name, number) =>
      orNull(
        versionsOf(teamId, name).find((one) => one.number === number),
        withoutTeam,
      ),
    versionById: async (teamId, id) =>
      orNull(
        ofTeam(tables.versions, teamId).find((one) => one.id === id),
        withoutTeam,
      ),
    related: async (teamId, id, limit) => {
      const all = ofTeam(tables.versions, teamId);
      const reach = (next: (from: string) => string[]): Set<string> => {
        const seen = new Set([id]);
        for (const one of seen) for (const other of next(one)) seen.add(other);
        return seen;
      };
      const parentsOf = (of: string) => all.find((one) => one.id === of)?.parents ?? [];
      const ancestors = reach((one) => parentsOf(one).map(({ versionId }) => versionId));
      const descendants = reach((one) =>
        all
          .filter(({ parents }) => parents.some(({ versionId }) => versionId === one))
          .map((child) => child.id),
      );
      return all
        .filter((one) => ancestors.has(one.id) || descendants.has(one.id))
        .slice(0, limit)
        .map(withoutTeam);
    },
    versionByRevision: async (teamId, name, revision) =>
      orNull(
        versionsOf(teamId, name).findLast((one) => one.revision === revision),
        withoutTeam,
      ),
    setVersionDeleted: async (teamId, name, number, at) => {
      const version = allOf(teamId, name).find((one) => one.number === number);
      if (!version) return false;
      version.deletedAt = at;
      const left = allOf(teamId, name).filter(({ deletedAt }) => deletedAt === null);
      const latestVersion = left.length === 0 ? null : Math.max(...left.map((one) => one.number));
      Object.assign(any(teamId, name) as object, { latestVersion });
      return true;
    },
    setDeleted: async (teamId, name, at) => {
      const adapter = any(teamId, name);
      if (adapter) adapter.deletedAt = at;
      return adapter !== undefined;
    },
  };
}
