import { type Grant } from '@lowrank/contracts';
import { type GrantRepository } from '@lowrank/domain';
import { Prisma } from '../generated/client';
import { iso, type Tx } from '../values';

/** Grants with their names, by a condition on `g`, `own` (whose adapter it is), `other` and `adapter`. */
async function read(db: Tx, condition: Prisma.Sql): Promise<Grant[]> {
  const rows = await db.$queryRaw<(Omit<Grant, 'createdAt'> & { createdAt: Date })[]>`
    SELECT g.id, adapter.name AS adapter, own.name AS "from", other.name AS "to", g.alias, g.created_at AS "createdAt"
    FROM grants g
      JOIN teams own ON own.id = g.team_id
      JOIN teams other ON other.id = g.to_team_id
      JOIN adapters adapter ON adapter.id = g.adapter_id
    WHERE ${condition} ORDER BY g.created_at DESC, g.id DESC`;
  return rows.map((row) => ({ ...row, createdAt: iso(row.createdAt) }));
}

export const grantRepository = (db: Tx): GrantRepository => ({
  list: (teamId) => read(db, Prisma.sql`own.id = ${teamId} OR other.id = ${teamId}`),

  async find(teamId, name, toTeamId) {
    const [grant] = await read(
      db,
      Prisma.sql`own.id = ${teamId} AND adapter.name = ${name} AND other.id = ${toTeamId}`,
    );
    return grant ?? null;
  },

  async put(teamId, { id, adapter: name, toTeamId, alias, at }) {
    const where = { teamId_name: { teamId, name } };
    const { id: adapterId } = await db.adapter.findUniqueOrThrow({ where, select: { id: true } });
    await db.grant.deleteMany({ where: { adapterId, toTeamId } });
    await db.grant.create({ data: { id, teamId, adapterId, toTeamId, alias, createdAt: new Date(at) } });
  },

  async remove(teamId, id) {
    const [grant] = await read(db, Prisma.sql`own.id = ${teamId} AND g.id = ${id}`);
    if (grant) await db.grant.deleteMany({ where: { teamId, id } });
    return grant ?? null;
  },
});
