import { type ApiKey, type ApiKeyRole } from '@lowrank/contracts';
import { type ApiKeyRepository, randomIds } from '@lowrank/domain';
import { type ApiKeyModel } from '../generated/models';
import { dateOrNull, iso, isoOrNull, type Tx } from '../values';

const toApiKey = (row: ApiKeyModel): ApiKey => ({
  id: row.id,
  teamId: row.teamId,
  name: row.name,
  role: row.role as ApiKeyRole,
  hint: row.hint,
  createdAt: iso(row.createdAt),
  revokedAt: isoOrNull(row.revokedAt),
});

export const apiKeyRepository = (db: Tx): ApiKeyRepository => ({
  async insert(key) {
    await db.apiKey.create({
      data: { ...key, createdAt: new Date(key.createdAt), revokedAt: dateOrNull(key.revokedAt) },
    });
  },

  async findBySecret(secretSha256) {
    const row = await db.apiKey.findUnique({ where: { secretSha256 } });
    return row && toApiKey(row);
  },

  async list(teamId) {
    const rows = await db.apiKey.findMany({
      where: { teamId },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
    });
    return rows.map(toApiKey);
  },

  async revoke(teamId, id, at) {
    // The time of the first revocation stays.
    await db.apiKey.updateMany({ where: { teamId, id, revokedAt: null }, data: { revokedAt: new Date(at) } });
    return (await db.apiKey.count({ where: { teamId, id } })) === 1;
  },

  async ensureTeam(name) {
    await db.team.createMany({ data: [{ id: randomIds.make('team'), name }], skipDuplicates: true });
    return (await db.team.findUniqueOrThrow({ where: { name } })).id;
  },
});
