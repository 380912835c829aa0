import { type Grant } from '@lowrank/contracts';
import { type Repositories } from '../ports/repositories';
import { byAge, orNull } from './rows';
import { type Tables } from './tables';

export function grantRepositoryOf(tables: Tables): Repositories['grants'] {
  const nameOf = (teamId: string) => tables.teams.find(({ id }) => id === teamId)?.name ?? '';
  const toGrant = ({ teamId, toTeamId, ...rest }: Tables['grants'][number]): Grant => ({
    ...{ ...rest, from: nameOf(teamId), to: nameOf(toTeamId) },
  });
  const drop = (gone: Tables['grants'][number] | undefined) => {
    tables.grants = tables.grants.filter((one) => one !== gone);
  };
  const find = (teamId: string, adapter: string, toTeamId: string) =>
    tables.grants.find(
      (one) => one.teamId === teamId && one.adapter === adapter && one.toTeamId === toTeamId,
    );
  return {
    list: async (teamId) =>
      tables.grants
        .filter((one) => [one.teamId, one.toTeamId].includes(teamId))
        .sort((a, b) => byAge(b, a))
        .map(toGrant),
    find: async (teamId, adapter, toTeamId) => orNull(find(teamId, adapter, toTeamId), toGrant),
    put: async (teamId, { at: createdAt, ...grant }) => {
      drop(find(teamId, grant.adapter, grant.toTeamId));
      tables.grants.push({ ...grant, teamId, createdAt });
    },
    remove: async (teamId, id) => {
      const gone = tables.grants.find((one) => one.teamId === teamId && one.id === id);
      drop(gone);
      return orNull(gone, toGrant);
    },
  };
}
