import { type Adapter, LowrankError, type Manifest } from '@lowrank/contracts';
import { revisionOf } from '../catalog/revision';
import { type Repositories } from '../ports/repositories';
import { compare, ofTeam, orNull, pageOf, refuseUnless, withoutTeam } from './rows';
import { type Tables } from './tables';

/** What a manifest and its version have in common. */
const factsOf = ({ format: _format, epoch: _epoch, ...facts }: Manifest) => facts;

export function adapterRepositoryOf(tables: Tables): Repositories['adapters'] {
  const find = (teamId: string, name: string) =>
    tables.adapters.find((adapter) => adapter.teamId === teamId && adapter.name === name);
  const toAdapter = ({ teamId, card: _card, ...row }: Tables['adapters'][number]): Adapter => ({
    ...row,
    sharedBy: null,
    aliases: ofTeam(tables.aliases, teamId)
      .filter((alias) => alias.adapter === row.name)
      .map(({ name, version }) => ({ name, version }))
      .sort((a, b) => compare(a.name, b.name)),
  });
  const versionsOf = (teamId: string, name: string) =>
    ofTeam(tables.versions, teamId).filter((one) => one.adapter === name);
  const teamName = (id: string) => tables.teams.find((team) => team.id === id)?.name ?? '';
  const isGranted = ({ teamId, name }: Tables['adapters'][number], toTeamId: string) =>
    tables.grants.some((one) => one.teamId === teamId && one.adapter === name && one.toTeamId === toTeamId);
  return {
    ensure: async (teamId, { id, name, baseModelName, at }) => {
      const existing = find(teamId, name);
      if (existing && existing.baseModel !== baseModelName)
        throw new LowrankError('conflict', `Adapter '${name}' is for base model '${existing.baseModel}'.`);
      if (existing) return toAdapter(existing);
      const times = { createdAt: at, updatedAt: at };
      const said = { description: '', tags: [], card: null };
      const adapter = { id, teamId, name, baseModel: baseModelName, latestVersion: null, ...said, ...times };
      tables.adapters.push(adapter);
      return toAdapter(adapter);
    },
    find: async (teamId, name) => orNull(find(teamId, name), toAdapter),
    lock: async (teamId, name) => orNull(find(teamId, name), toAdapter),
    list: async (teamId, { query = '', ...page }) =>
      pageOf(
        tables.adapters.filter((one) => one.teamId === teamId || isGranted(one, teamId)),
        page,
        (one) => ({ ...toAdapter(one), sharedBy: one.teamId === teamId ? null : teamName(one.teamId) }),
        ({ name }) => name.includes(query.toLowerCase()),
      ),
    card: async (teamId, name) => find(teamId, name)?.card ?? null,
    describe: async (teamId, name, { at, ...changes }) => {
      const adapter = find(teamId, name);
      if (adapter) Object.assign(adapter, changes, { updatedAt: at });
    },
    publish: async (teamId, { id, manifest, at }) => {
      const adapter = find(teamId, manifest.adapter);
      if (!adapter) throw new LowrankError('not_found', `There is no adapter '${manifest.adapter}'.`);
      const earlier = versionsOf(teamId, manifest.adapter).find((one) => one.jobId === manifest.jobId);
      if (earlier) return withoutTeam(earlier);
      if (tables.versions.some((one) => one.jobId === manifest.jobId))
        throw new LowrankError('conflict', `Job ${manifest.jobId} has published under another name.`);
      refuseUnless(
        tables.jobs.some((job) => job.id === manifest.jobId),
        'job',
      );
      const number = (adapter.latestVersion ?? 0) + 1;
      const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
      const revision = revisionOf(manifest.files);
      const version = { ...factsOf(manifest), id, number, revision, bytes, createdAt: at };
      Object.assign(adapter, { latestVersion: number, updatedAt: at });
      tables.versions.push({ ...version, teamId });
      return version;
    },
    versions: async (teamId, name) =>
      versionsOf(teamId, name)
        .sort((a, b) => b.number - a.number)
        .map(withoutTeam),
    version: async (teamId, name, number) =>
      orNull(
        versionsOf(teamId, name).find((one) => one.number === number),
        withoutTeam,
      ),
    versionByRevision: async (teamId, name, revision) =>
      orNull(
        versionsOf(teamId, name).findLast((one) => one.revision === revision),
        withoutTeam,
      ),
  };
}
