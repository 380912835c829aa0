import { randomIds } from '../clock-and-ids';
import { type Deed } from '../ports/audit';
import { type Repositories } from '../ports/repositories';
import { pageOf, storable } from './rows';
import { type Tables } from './tables';

const storableParts = (details: Record<string, unknown>): Record<string, unknown> =>
  JSON.parse(
    JSON.stringify(details, (_key, part: unknown) => (typeof part === 'string' ? storable(part) : part)),
  ) as Record<string, unknown>;

export const auditRepositoryOf = (tables: Tables, deed: Deed | null): Repositories['audit'] => ({
  add: async (change, { kind, id = null, name = null }, details = {}) => {
    if (deed === null) return;
    tables.audit.push({
      ...{ id: randomIds.make('auditEntry'), createdAt: new Date().toISOString() },
      ...{ ...deed, change, target: { kind, id, name } },
      details: storableParts(details),
    });
  },
  list: async (teamId, { actor, action, target, request, since, until, ...page }) =>
    pageOf(
      tables.audit.flatMap((one) => (one.teamId === teamId ? [{ ...one, teamId: teamId ?? '' }] : [])),
      page,
      ({ teamId: _team, createdAt: at, ...entry }) => ({ ...entry, at }),
      (one) =>
        (actor === undefined || one.actor.id === actor) &&
        (action === undefined || one.action === action) &&
        (target === undefined || [one.target.id, one.target.name].includes(target)) &&
        (request === undefined || one.requestId === request) &&
        (since === undefined || one.createdAt >= since) &&
        (until === undefined || one.createdAt < until),
    ),
});
