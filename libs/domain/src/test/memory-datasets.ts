import { type Dataset, finalJobStates, LowrankError, readDatasetRef } from '@lowrank/contracts';
import { type DatasetRepository } from '../ports/datasets';
import { ofTeam, orNull, pageOf, withoutTeam } from './rows';
import { type Tables } from './tables';

export function datasetRepositoryOf(tables: Tables): DatasetRepository {
  /** An unfinished job on a dataset. */
  const userOf = (id: string) =>
    tables.jobs.find(
      (job) =>
        [job.dataset.id, job.validationDataset?.id].includes(id) && !finalJobStates.includes(job.state),
    );
  const gateOn = (id: string) => tables.gates.some(({ dataset }) => dataset.id === id);
  const nameRow = (teamId: string, name: string) => {
    let row = ofTeam(tables.datasetNames, teamId).find((one) => one.name === name);
    if (row === undefined) tables.datasetNames.push((row = { teamId, name, lastVersion: 0 }));
    return row;
  };
  const find = (teamId: string, text: string) => {
    const rows = ofTeam(tables.datasets, teamId);
    const ref = readDatasetRef(text);
    if (ref === null) return undefined;
    if ('id' in ref) return rows.find(({ id }) => id === ref.id);
    const { name, version } = ref;
    const versions = rows.filter((one) => one.name === name).sort((a, b) => b.version - a.version);
    if (version === null) return versions[0];
    if ('number' in version) return versions.find((one) => one.version === version.number);
    const alike = versions.filter(({ sha256 }) => sha256.startsWith(version.sha256));
    return alike.length === 1 ? alike[0] : undefined;
  };
  return {
    insert: async (teamId, dataset) => {
      const row = nameRow(teamId, dataset.name);
      row.lastVersion = Math.max(row.lastVersion, dataset.version);
      tables.datasets.push({ ...dataset, teamId });
    },
    find: async (teamId, ref) => orNull(find(teamId, ref), withoutTeam),
    withIds: async (teamId, ids) =>
      ofTeam(tables.datasets, teamId)
        .filter(({ id }) => ids.includes(id))
        .map(withoutTeam),
    lockName: async (teamId, name) => nameRow(teamId, name).lastVersion,
    findContent: async (teamId, { name, sha256, format }) =>
      orNull(
        ofTeam(tables.datasets, teamId).find(
          (one) => one.name === name && one.sha256 === sha256 && one.format === format,
        ),
        withoutTeam,
      ),
    change: async (teamId, id, { tokens, lossTokens, tokensOf, expiresAt }) => {
      const row = ofTeam(tables.datasets, teamId).find((one) => one.id === id);
      if (row) Object.assign(row, { tokens, lossTokens, tokensOf, expiresAt } satisfies Partial<Dataset>);
    },
    hold: async (teamId, id) => orNull(find(teamId, id), withoutTeam),
    list: async (teamId, { name, ...page }) =>
      pageOf(
        ofTeam(tables.datasets, teamId),
        page,
        withoutTeam,
        (one) => name === undefined || one.name === name,
      ),
    expired: async (now, limit) =>
      tables.datasets
        .filter(({ id, expiresAt }) => expiresAt !== null && expiresAt <= now && !userOf(id) && !gateOn(id))
        .slice(0, limit)
        .map(({ teamId, id }) => ({ teamId, id })),
    delete: async (teamId, id) => {
      if (!ofTeam(tables.datasets, teamId).some((one) => one.id === id)) return false;
      const user = userOf(id);
      if (user) throw new LowrankError('in_use', `Job ${user.id} trains on dataset ${id}.`);
      if (gateOn(id)) throw new LowrankError('in_use', `A gate measures on dataset ${id}.`);
      tables.datasets = tables.datasets.filter((one) => one.id !== id);
      return true;
    },
  };
}
