import { type Action, type Actor, type AuditEntry, type AuditQuery, type Page } from '@lowrank/contracts';

/** Who asks for a change, as which action and in which request: what the audit log says of a change besides the change. */
export interface Deed {
  /** null: it concerns an account, and no team is known. */
  teamId: string | null;
  actor: Actor;
  action: Action;
  requestId: string;
}

/** What was changed; an id, a name, or both. */
export interface AuditTarget {
  kind: string;
  id?: string;
  name?: string;
}

export interface AuditRepository {
  /**
   * Writes down what the deed of the unit of work has changed, in its team's log; where there is no deed, as when the platform works by itself,
   * nothing. Every use case that answers a changing action calls it once, in the transaction of the change. `details` hold no secrets.
   */
  add(change: string, target: AuditTarget, details?: Record<string, unknown>): Promise<void>;
  /** Newest first; of null those that are no team's, for a unit of work across teams. */
  list(teamId: string | null, query: AuditQuery): Promise<Page<AuditEntry>>;
}
