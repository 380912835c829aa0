import { type ApiKey, type Role, type Scope } from '@lowrank/contracts';
import { type ApiKeyRepository, type FoundApiKey, randomIds } from '@lowrank/domain';
import { Prisma } from '../generated/client';
import { type ApiKeyModel } from '../generated/models';
import { dateOrNull, fromJson, iso, isoOrNull, toJson, type Tx } from '../values';

const toApiKey = (row: ApiKeyModel): ApiKey => ({
  id: row.id,
  teamId: row.teamId,
  name: row.name,
  role: row.role as Role,
  scopes: row.scopes === null ? null : fromJson<Scope[]>(row.scopes),
  memberId: row.memberId,
  hint: row.hint,
  createdAt: iso(row.createdAt),
  expiresAt: isoOrNull(row.expiresAt),
  revokedAt: isoOrNull(row.revokedAt),
});

async function findKey(
  db: Tx,
  where: { id: string } | { secretSha256: string },
): Promise<FoundApiKey | null> {
  const row = await db.apiKey.findUnique({ where, include: { team: { select: { isOperator: true } } } });
  if (row === null) return null;
  const { teamId, memberId: userId } = row;
  const member = userId && (await db.member.findUnique({ where: { teamId_userId: { teamId, userId } } }));
  return {
    key: toApiKey(row),
    operator: row.team.isOperator,
    memberRole: member ? (member.role as Role) : null,
  };
}

export const apiKeyRepository = (db: Tx): ApiKeyRepository => ({
  async insert(key) {
    await db.apiKey.create({
      data: {
        ...key,
        scopes: key.scopes === null ? Prisma.DbNull : toJson(key.scopes),
        createdAt: new Date(key.createdAt),
        expiresAt: dateOrNull(key.expiresAt),
        revokedAt: dateOrNull(key.revokedAt),
      },
    });
  },

  findBySecret: (secretSha256) => findKey(db, { secretSha256 }),
  findById: (id) => findKey(db, { id }),

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

  async revokeOf(teamId, memberId, at) {
    const where = { teamId, memberId, revokedAt: null };
    return (await db.apiKey.updateMany({ where, data: { revokedAt: new Date(at) } })).count;
  },

  async ensureTeam(name) {
    const id = randomIds.make('team');
    const isMade = await db.$executeRaw`
      INSERT INTO teams (id, name, is_operator) SELECT ${id}, ${name}, NOT EXISTS (SELECT FROM teams)
      ON CONFLICT DO NOTHING`;
    // Two first teams at once, of different names: the second finds that the operator's is there.
    if (isMade === 0) await db.team.createMany({ data: [{ id, name }], skipDuplicates: true });
    return (await db.team.findUniqueOrThrow({ where: { name } })).id;
  },
});
