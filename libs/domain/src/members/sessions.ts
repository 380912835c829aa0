import {
  type ChangePassword,
  LowrankError,
  type Principal,
  type Session,
  type SignIn,
} from '@lowrank/contracts';
import { after } from '../clock-and-ids';
import { authenticate, lesser, principalOfKey } from '../keys/authenticate';
import { hashApiKeySecret, makeToken } from '../keys/secret';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Deed } from '../ports/audit';
import { type SessionRecord } from '../ports/members';
import { type Repositories, type UnitOfWork } from '../ports/repositories';
import { hashPassword, isPassword } from './password';

/** How long one stays signed in. */
export const sessionMs = 7 * 24 * 3_600_000;
const prefix = 'lrs_';
/** Writing down every use of a session would be a write with every request. */
const useMs = 5 * 60_000;
const longestAgent = 300;

/** Where a session is begun, and with what. */
export interface SessionOrigin {
  address: string;
  userAgent: string | null;
}

/**
 * Begins a session for somebody who knows their password, in the team that they have been in for longest. The secret is returned this once. Success and failure are
 * in the audit log: of that team, or of none where the account is in none, or there is none.
 * Error: sign_in_failed, which does not tell an unknown address from a wrong password, nor either from an account without a team.
 */
export async function signIn(
  { unitOfWork, clock, ids }: Ports,
  { email, password }: SignIn,
  { requestId, ...origin }: SessionOrigin & { requestId: string },
): Promise<Session & { secret: string }> {
  const { user, team } = await unitOfWork.acrossTeams.look(async ({ members }) => {
    const known = await members.userByEmail(email.toLowerCase());
    return { user: known, team: known && (await members.teamsOf(known.id))[0] };
  });
  const deed: Deed = {
    teamId: team?.id ?? null,
    actor: { type: 'user', id: user?.id ?? 'unknown', name: user?.name ?? 'unknown' },
    action: 'session.begin',
    requestId,
  };
  const target = { kind: 'account', id: user?.id, name: email.toLowerCase() };
  const { address } = origin;
  const across = unitOfWork.forDeed(deed).acrossTeams;
  if (!(await isPassword(password, user?.passwordHash ?? null)) || user === null || !team) {
    await across.run(({ audit }) => audit.add('sign-in-failed', target, { address }));
    throw signInFailed();
  }
  const secret = makeToken(prefix);
  const createdAt = clock.now();
  return across.run(async (repositories) => {
    const session: SessionRecord = {
      ...{ id: ids.make('session'), userId: user.id, apiKeyId: null, teamId: team.id },
      ...begun(secret, createdAt, origin),
      expiresAt: after(createdAt, sessionMs),
    };
    await repositories.sessions.removeExpired(createdAt);
    await repositories.sessions.insert(session);
    await repositories.audit.add('sign-in', target, { address });
    return { ...(await sessionOf(repositories, session)), secret };
  });
}

const begun = (secret: string, createdAt: string, { address, userAgent }: SessionOrigin) => ({
  ...{ secretSha256: hashApiKeySecret(secret), createdAt, usedAt: createdAt },
  ...{ address, userAgent: userAgent?.slice(0, longestAgent) ?? null },
});

const signInFailed = () =>
  new LowrankError('sign_in_failed', 'There is no account of that address and password in a team.');

/**
 * Begins a session for somebody who has an API key, so that a browser need not keep the key. Its requests are on behalf of the key: it is over
 * when the key is revoked or has expired. The secret is returned this once. It is in the audit log of the key's team. Errors: unauthorized, key_expired.
 */
export async function signInWithKey(
  { unitOfWork, clock, ids }: Ports,
  key: string,
  { requestId, ...origin }: SessionOrigin & { requestId: string },
): Promise<Session & { secret: string }> {
  const createdAt = clock.now();
  const principal = await authenticate(unitOfWork, key, createdAt);
  if (principal === null)
    throw new LowrankError('unauthorized', 'The API key is mistyped, unknown or revoked.', [
      { path: 'key', message: 'is not a key of this installation' },
    ]);
  const secret = makeToken(prefix);
  const longest = after(createdAt, sessionMs);
  const { expiresAt, teamId, actor } = principal;
  const deed: Deed = { teamId, actor, action: 'session.begin', requestId };
  return unitOfWork.forDeed(deed).acrossTeams.run(async (repositories) => {
    await repositories.sessions.removeExpired(createdAt);
    const session: SessionRecord = {
      ...{ id: ids.make('session'), userId: null, apiKeyId: actor.id, teamId },
      ...begun(secret, createdAt, origin),
      expiresAt: expiresAt !== null && expiresAt < longest ? expiresAt : longest,
    };
    await repositories.sessions.insert(session);
    const { address } = origin;
    await repositories.audit.add('sign-in', { kind: 'key', id: actor.id, name: actor.name }, { address });
    return { ...(await sessionOf(repositories, session)), secret };
  });
}

/** On whose behalf the requests of a session are; null when it is over, or its user is in no team any more. */
export async function authenticateSession(
  unitOfWork: UnitOfWork,
  secret: string,
  now: string,
): Promise<Principal | null> {
  const across = unitOfWork.acrossTeams;
  const { session, principal } = await across.look(async (repositories) => {
    const live = await liveSession(repositories, secret, now);
    return { session: live, principal: live && (await principalOfSession(repositories, live, now)) };
  });
  if (session !== null && after(session.usedAt, useMs) <= now)
    await across.runLightly(({ sessions }) => sessions.use(session.id, now));
  return principal;
}

async function principalOfSession(
  { apiKeys, members }: Repositories,
  { apiKeyId, userId, teamId, expiresAt }: SessionRecord,
  now: string,
): Promise<Principal | null> {
  if (apiKeyId !== null) {
    const principal = principalOfKey(await apiKeys.findById(apiKeyId), now);
    return principal && { ...principal, expiresAt };
  }
  const user = await members.user(userId ?? '');
  if (user === null) return null;
  const teams = await members.teamsOf(user.id);
  // Who was removed from the team that they had chosen goes on in another of theirs.
  const team = teams.find(({ id }) => id === teamId) ?? teams[0];
  if (team === undefined) return null;
  return {
    ...{ teamId: team.id, role: team.role, scopes: null, operator: team.operator, memberId: user.id },
    actor: { type: 'user', id: user.id, name: user.name },
    expiresAt,
  };
}

/** A session's user and their teams. Error: not_found for a request without a session. */
export const readSession = (
  ports: Pick<Ports, 'unitOfWork' | 'clock'>,
  secret: string | null,
): Promise<Session> =>
  withSession(ports, secret, (repositories, session) => sessionOf(repositories, session));

/** Lets a session's requests be about another team of its user's. Error: not_found. */
export const chooseTeam = (
  ports: Pick<Ports, 'unitOfWork' | 'clock'>,
  secret: string | null,
  nameOrId: string,
): Promise<Session> =>
  withSession(ports, secret, async (repositories, session) => {
    const { teams } = await sessionOf(repositories, session);
    const team = teams.find(({ id, name }) => id === nameOrId || name === nameOrId) ?? null;
    const { id: teamId } = found(team, 'team', nameOrId, 'team');
    await repositories.sessions.chooseTeam(session.id, teamId);
    return sessionOf(repositories, { ...session, teamId });
  });

/** Gives a session's user another password and ends their other sessions. Errors: not_found; sign_in_failed for a wrong current one. */
export async function changePassword(
  ports: Pick<Ports, 'unitOfWork' | 'clock'>,
  secret: string | null,
  { current, password }: ChangePassword,
): Promise<void> {
  const user = await withSession(ports, secret, ({ members }, session) => members.user(userOf(session)));
  if (!(await isPassword(current, user?.passwordHash ?? null)))
    throw new LowrankError('sign_in_failed', 'The current password is another one.', [
      { path: 'current', message: 'is wrong' },
    ]);
  const passwordHash = await hashPassword(password);
  await withSession(ports, secret, async ({ members, sessions, audit }, session) => {
    const id = userOf(session);
    await members.setPassword(id, passwordHash);
    await sessions.removeOthers(session, session.id);
    await audit.add('change-password', { kind: 'member', id, name: user?.email ?? undefined });
  });
}

/** Ends a session. Error: not_found for a request without one. */
export const signOut = (ports: Pick<Ports, 'unitOfWork' | 'clock'>, secret: string | null): Promise<void> =>
  withSession(ports, secret, ({ sessions }, { id }) => sessions.remove(id));

/** Does something with the session that a secret is of. Error: not_found for a request without one. */
export function withSession<T>(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  secret: string | null,
  work: (repositories: Repositories, session: SessionRecord) => Promise<T>,
): Promise<T> {
  return unitOfWork.acrossTeams.run(async (repositories) => {
    const session = secret === null ? null : await liveSession(repositories, secret, clock.now());
    if (session === null)
      throw new LowrankError('not_found', 'The request has no session: it was made with a key.');
    return work(repositories, session);
  });
}

async function liveSession(
  { sessions }: Repositories,
  secret: string,
  now: string,
): Promise<SessionRecord | null> {
  const session = await sessions.find(hashApiKeySecret(secret));
  return session !== null && session.expiresAt > now ? session : null;
}

/** Error: not_found for a session that was begun with a key. */
function userOf({ userId }: SessionRecord): string {
  if (userId === null)
    throw new LowrankError('not_found', 'The session was begun with a key, which has no password.');
  return userId;
}

async function sessionOf(
  { members, apiKeys, teams }: Repositories,
  { userId, apiKeyId, teamId, expiresAt }: SessionRecord,
): Promise<Session> {
  if (userId === null) {
    const { key, memberRole } = found(await apiKeys.findById(apiKeyId ?? ''), 'API key', apiKeyId ?? '');
    const { name } = found(await teams.find(teamId), 'team', teamId);
    const role = lesser(key.role, memberRole ?? key.role);
    const ofKey = { id: key.id, name: key.name };
    return { user: null, key: ofKey, teamId, teams: [{ id: teamId, name, role }], expiresAt };
  }
  const { id, email, name } = found(await members.user(userId), 'member', userId);
  const own = (await members.teamsOf(userId)).map(({ operator: _operator, ...team }) => team);
  return { user: { id, email: email ?? '', name }, key: null, teamId, teams: own, expiresAt };
}
