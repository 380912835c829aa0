import { type Alias, type AliasMove } from '@lowrank/contracts';
import { type AliasRepository } from '@lowrank/domain';
import { type AliasModel, type AliasMoveModel } from '../generated/models';
import { iso, type Tx } from '../values';

const toAlias = (row: AliasModel): Alias => ({
  name: row.name,
  version: row.version,
  movedAt: iso(row.movedAt),
  movedBy: row.movedBy,
});

const toMove = (row: AliasMoveModel): AliasMove => ({
  seq: row.seq,
  action: row.action as AliasMove['action'],
  from: row.fromVersion,
  to: row.toVersion,
  returnsTo: row.returnsTo,
  gate: row.gate as AliasMove['gate'],
  at: iso(row.at),
  by: row.by,
});

export const aliasRepository = (db: Tx): AliasRepository => ({
  async list(teamId, adapter) {
    const where = { teamId, adapter: { name: adapter } };
    return (await db.alias.findMany({ where, orderBy: { name: 'asc' } })).map(toAlias);
  },

  async find(teamId, adapter, name) {
    const row = await db.alias.findFirst({ where: { teamId, adapter: { name: adapter }, name } });
    return row && toAlias(row);
  },

  async moves(teamId, adapter, alias, { before, limit }) {
    const rows = await db.aliasMove.findMany({
      where: { teamId, adapter: { name: adapter }, alias, seq: { lt: before } },
      orderBy: { seq: 'desc' },
      take: limit,
    });
    return rows.map(toMove);
  },

  async move(teamId, adapter, alias, seq) {
    const row = await db.aliasMove.findFirst({ where: { teamId, adapter: { name: adapter }, alias, seq } });
    return row && toMove(row);
  },

  async record(teamId, adapter, name, { seq, action, from, to, returnsTo, gate, at, by }) {
    const { id: adapterId } = await db.adapter.findUniqueOrThrow({
      where: { teamId_name: { teamId, name: adapter } },
      select: { id: true },
    });
    const place = { teamId, adapterId };
    const step = { seq, action, fromVersion: from, toVersion: to, returnsTo, gate, at: new Date(at), by };
    await db.aliasMove.create({ data: { ...place, alias: name, ...step } });
    if (to === null) {
      await db.alias.deleteMany({ where: { ...place, name } });
      return;
    }
    const state = { version: to, movedAt: new Date(at), movedBy: by };
    await db.alias.upsert({
      where: { teamId_adapterId_name: { ...place, name } },
      create: { ...place, name, ...state },
      update: state,
    });
  },
});
