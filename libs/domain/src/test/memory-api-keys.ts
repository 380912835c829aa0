import { LowrankError } from '@lowrank/contracts';
import { randomIds } from '../clock-and-ids';
import { type FoundApiKey, type Repositories } from '../ports/repositories';
import { byAge, ofTeam, orNull } from './rows';
import { freshTeam, type Tables } from './tables';

const withoutSecret = ({ secretSha256: _secret, ...key }: Tables['apiKeys'][number]) => key;

export const apiKeyRepositoryOf = (tables: Tables): Repositories['apiKeys'] => ({
  insert: async (key) => {
    if (tables.apiKeys.some((one) => one.secretSha256 === key.secretSha256))
      throw new LowrankError('conflict', 'There is a key of that secret.');
    tables.apiKeys.push(key);
  },
  findBySecret: async (sha256) =>
    orNull(
      tables.apiKeys.find((key) => key.secretSha256 === sha256),
      (key) => foundKey(tables, key),
    ),
  findById: async (id) =>
    orNull(
      tables.apiKeys.find((key) => key.id === id),
      (key) => foundKey(tables, key),
    ),
  list: async (teamId) =>
    ofTeam(tables.apiKeys, teamId)
      .sort((a, b) => byAge(b, a))
      .map(withoutSecret),
  revoke: async (teamId, id, at) => {
    const key = ofTeam(tables.apiKeys, teamId).find((one) => one.id === id);
    if (key) key.revokedAt ??= at;
    return key !== undefined;
  },
  revokeOf: async (teamId, memberId, at) => {
    const keys = ofTeam(tables.apiKeys, teamId).filter(
      (one) => one.memberId === memberId && one.revokedAt === null,
    );
    for (const key of keys) key.revokedAt = at;
    return keys.length;
  },
  ensureTeam: async (name) => {
    const team = tables.teams.find((one) => one.name === name) ?? freshTeam(randomIds.make('team'), name);
    if (!tables.teams.includes(team)) tables.teams.push(team);
    return team.id;
  },
});

const foundKey = (tables: Tables, key: Tables['apiKeys'][number]): FoundApiKey => ({
  key: withoutSecret(key),
  operator: tables.teams[0]?.id === key.teamId,
  memberRole: ofTeam(tables.members, key.teamId).find(({ userId }) => userId === key.memberId)?.role ?? null,
});
