import { type PartyRecord, type PartyRepository } from '@lowrank/domain';
import { type PartyModel } from '../generated/models';
import { iso, type Tx } from '../values';

const toParty = (row: PartyModel): PartyRecord => ({
  ...row,
  clockAt: iso(row.clockAt),
  memoryBytes: row.memoryBytes === null ? null : Number(row.memoryBytes),
});

const toColumns = ({ clockAt, memoryBytes, ...rest }: PartyRecord) => ({
  ...rest,
  clockAt: new Date(clockAt),
  memoryBytes: memoryBytes === null ? null : BigInt(Math.ceil(memoryBytes)),
});

export const partyRepository = (db: Tx): PartyRepository => ({
  async insert(party) {
    await db.party.create({ data: toColumns(party) });
  },

  async lock(id) {
    const rows = await db.$queryRaw<unknown[]>`SELECT 1 FROM parties WHERE id = ${id} FOR UPDATE`;
    if (rows.length === 0) return null;
    return toParty(await db.party.findUniqueOrThrow({ where: { id } }));
  },

  async update(party) {
    const { id, ...columns } = toColumns(party);
    await db.party.update({ where: { id }, data: columns });
  },

  async remove(id) {
    await db.party.deleteMany({ where: { id } });
  },

  async list() {
    const rows = await db.party.findMany({ orderBy: { id: 'asc' } });
    return rows.map(toParty);
  },
});
