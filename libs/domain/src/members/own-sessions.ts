import { type OwnSession } from '@lowrank/contracts';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type AuditTarget } from '../ports/audit';
import { type SessionRecord } from '../ports/members';
import { withSession } from './sessions';

type Sessions = Pick<Ports, 'unitOfWork' | 'clock'>;

const targetOf = ({ userId, apiKeyId }: SessionRecord): AuditTarget => ({
  kind: userId === null ? 'key' : 'member',
  id: userId ?? apiKeyId ?? undefined,
});

/**
 * The sessions of whoever a session is of: of its user in whatever teams, or of its API key; the newest first. Error: not_found for a request
 * without a session.
 */
export const listOwnSessions = (ports: Sessions, secret: string | null): Promise<OwnSession[]> =>
  withSession(ports, secret, async ({ sessions }, current) => {
    const own = await sessions.list(current, ports.clock.now());
    return own.map(({ id, createdAt, usedAt, expiresAt, address, userAgent }) => ({
      ...{ id, createdAt, usedAt, expiresAt, address, userAgent },
      isCurrent: id === current.id,
    }));
  });

/** Ends one of them. Resolves to whether it was the one that asks. Error: not_found, of others' sessions too. */
export const endOwnSession = (ports: Sessions, secret: string | null, id: string): Promise<boolean> =>
  withSession(ports, secret, async ({ sessions, audit }, current) => {
    const own = await sessions.list(current, ports.clock.now());
    found(own.find((one) => one.id === id) ?? null, 'session', id);
    await sessions.remove(id);
    await audit.add('end-session', targetOf(current), { session: id });
    return id === current.id;
  });

/** Ends all of them but the one that asks. Error: not_found for a request without a session. */
export const endOtherSessions = (ports: Sessions, secret: string | null): Promise<void> =>
  withSession(ports, secret, async ({ sessions, audit }, current) => {
    const ended = await sessions.removeOthers(current, current.id);
    await audit.add('end-other-sessions', targetOf(current), { sessions: ended });
  });
