import { type Actor, type AuditEntry } from '@lowrank/contracts';
import { type AuditRepository, type Deed, randomIds } from '@lowrank/domain';
import { type AuditEntryModel } from '../generated/models';
import { placed, readPage } from '../paging';
import { fromJson, iso, storableJson, storableText, type Tx } from '../values';

const toEntry = (row: AuditEntryModel): AuditEntry => ({
  id: row.id,
  at: iso(row.createdAt),
  actor: { type: row.actorType as Actor['type'], id: row.actorId, name: row.actorName },
  action: row.action,
  change: row.change,
  target: { kind: row.targetKind, id: row.targetId, name: row.targetName },
  details: fromJson(row.details),
  requestId: row.requestId,
});

export const auditRepository = (db: Tx, deed: Deed | null): AuditRepository => ({
  async add(change, { kind, id = null, name = null }, details = {}) {
    if (deed === null) return;
    const { teamId, actor, action, requestId } = deed;
    await db.auditEntry.create({
      data: {
        ...{ id: randomIds.make('auditEntry'), teamId, action, change, requestId },
        ...{ actorType: actor.type, actorId: actor.id, actorName: storableText(actor.name) },
        ...{ targetKind: kind, targetId: id, targetName: name && storableText(name) },
        details: storableJson(details),
      },
      select: { id: true },
    });
  },

  list(teamId, { actor, action, target, request, since, until, ...page }) {
    const where = {
      teamId,
      ...{ actorId: actor, action, requestId: request },
      AND: [
        { createdAt: { gte: since, lt: until } },
        ...(target === undefined ? [] : [{ OR: [{ targetId: target }, { targetName: target }] }]),
      ],
    };
    return readPage(
      page,
      (id) => db.auditEntry.findFirst({ where: { teamId, id }, select: placed }),
      (older, window) => db.auditEntry.findMany({ where: { ...where, ...older }, ...window }),
      toEntry,
    );
  },
});
