import {
  type ChangePassword,
  LowrankError,
  type Principal,
  type Session,
  type SignIn,
} from '@lowrank/contracts';
import { after } from '../clock-and-ids';
import { hashApiKeySecret, makeToken } from '../keys/secret';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type SessionRecord } from '../ports/members';
import { type Repositories, type UnitOfWork } from '../ports/repositories';
import { hashPassword, isPassword } from './password';

/** How long one stays signed in. */
export const sessionMs = 7 * 24 * 3_600_000;
const prefix = 'lrs_';

/**
 * Begins a session for somebody who knows their password, in the team that they have been in for longest. The secret is returned this once.
 * Error: sign_in_failed, which does not tell an unknown address from a wrong password, nor either from an account without a team.
 */
export async function signIn(
  { unitOfWork, clock, ids }: Ports,
  { email, password }: SignIn,
): Promise<Session & { secret: string }> {
  const user = await unitOfWork.acrossTeams.look(({ members }) => members.userByEmail(email.toLowerCase()));
  if (!(await isPassword(password, user?.passwordHash ?? null)) || user === null) throw signInFailed();
  const secret = makeToken(prefix);
  const createdAt = clock.now();
  return unitOfWork.acrossTeams.run(async (repositories) => {
    const [team] = await repositories.members.teamsOf(user.id);
    if (team === undefined) throw signInFailed();
    await repositories.sessions.removeExpired(createdAt);
    const session: SessionRecord = {
      ...{ id: ids.make('session'), userId: user.id, teamId: team.id, createdAt },
      ...{ secretSha256: hashApiKeySecret(secret), expiresAt: after(createdAt, sessionMs) },
    };
    await repositories.sessions.insert(session);
    return { ...(await sessionOf(repositories, session)), secret };
  });
}

const signInFailed = () =>
  new LowrankError('sign_in_failed', 'There is no account of that address and password in a team.');

/** On whose behalf the requests of a session are; null when it is over, or its user is in no team any more. */
export async function authenticateSession(
  unitOfWork: UnitOfWork,
  secret: string,
  now: string,
): Promise<Principal | null> {
  return unitOfWork.acrossTeams.look(async (repositories) => {
    const session = await liveSession(repositories, secret, now);
    const user = session && (await repositories.members.user(session.userId));
    if (!session || !user) return null;
    const teams = await repositories.members.teamsOf(user.id);
    // Who was removed from the team that they had chosen goes on in another of theirs.
    const team = teams.find(({ id }) => id === session.teamId) ?? teams[0];
    if (team === undefined) return null;
    return {
      ...{ teamId: team.id, role: team.role, scopes: null, operator: team.operator, memberId: user.id },
      actor: { type: 'user', id: user.id, name: user.name },
      expiresAt: session.expiresAt,
    };
  });
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
    const teams = await repositories.members.teamsOf(session.userId);
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
  const user = await withSession(ports, secret, ({ members }, { userId }) => members.user(userId));
  if (!(await isPassword(current, user?.passwordHash ?? null)))
    throw new LowrankError('sign_in_failed', 'The current password is another one.', [
      { path: 'current', message: 'is wrong' },
    ]);
  const passwordHash = await hashPassword(password);
  await withSession(ports, secret, async ({ members, sessions }, { id, userId }) => {
    await members.setPassword(userId, passwordHash);
    await sessions.removeOthers(userId, id);
  });
}

/** Ends a session. Error: not_found for a request without one. */
export const signOut = (ports: Pick<Ports, 'unitOfWork' | 'clock'>, secret: string | null): Promise<void> =>
  withSession(ports, secret, ({ sessions }, { id }) => sessions.remove(id));

function withSession<T>(
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

async function sessionOf(
  { members }: Repositories,
  { userId, teamId, expiresAt }: SessionRecord,
): Promise<Session> {
  const { id, email, name } = found(await members.user(userId), 'member', userId);
  const teams = (await members.teamsOf(userId)).map(({ operator: _operator, ...team }) => team);
  return { user: { id, email: email ?? '', name }, teamId, teams, expiresAt };
}
