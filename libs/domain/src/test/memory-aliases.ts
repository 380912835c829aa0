import { type Repositories } from '../ports/repositories';
import { compare, ofTeam, orNull } from './rows';
import { type Tables } from './tables';

const publicFace = <T extends { teamId: string; adapter: string }>({
  teamId: _teamId,
  adapter: _adapter,
  ...row
}: T): Omit<T, 'teamId' | 'adapter'> => row;

export function aliasRepositoryOf(tables: Tables): Repositories['aliases'] {
  const aliasesOf = (teamId: string, adapter: string) =>
    ofTeam(tables.aliases, teamId).filter((one) => one.adapter === adapter);
  const movesOf = (teamId: string, adapter: string, alias: string) =>
    ofTeam(tables.aliasMoves, teamId)
      .filter((one) => one.adapter === adapter && one.alias === alias)
      .map(publicFace)
      .map(({ alias: _alias, ...move }) => move);
  return {
    list: async (teamId, adapter) =>
      aliasesOf(teamId, adapter)
        .sort((a, b) => compare(a.name, b.name))
        .map(publicFace),
    find: async (teamId, adapter, name) =>
      orNull(
        aliasesOf(teamId, adapter).find((one) => one.name === name),
        publicFace,
      ),
    moves: async (teamId, adapter, alias, { before = Infinity, limit }) =>
      movesOf(teamId, adapter, alias)
        .filter(({ seq }) => seq < before)
        .sort((a, b) => b.seq - a.seq)
        .slice(0, limit),
    move: async (teamId, adapter, alias, seq) =>
      movesOf(teamId, adapter, alias).find((one) => one.seq === seq) ?? null,
    record: async (teamId, adapter, name, move) => {
      tables.aliasMoves.push({ ...move, teamId, adapter, alias: name });
      tables.aliases = tables.aliases.filter(
        (one) => !(one.teamId === teamId && one.adapter === adapter && one.name === name),
      );
      if (move.to !== null)
        tables.aliases.push({ teamId, adapter, name, version: move.to, movedAt: move.at, movedBy: move.by });
    },
  };
}
