import { LowrankError, type Member } from '@lowrank/contracts';
import { type SessionRecord, type UserRecord } from '../ports/members';
import { type Repositories } from '../ports/repositories';
import { byAge, compare, ofTeam, orNull } from './rows';
import { type Tables } from './tables';

export function memberRepositoriesOf(
  tables: Tables,
): Pick<Repositories, 'members' | 'sessions' | 'invitations' | 'passwordResets' | 'attempts'> {
  const user = (id: string) => tables.users.find((one) => one.id === id);
  const toMember = ({ userId, role, createdAt }: Tables['members'][number]): Member => {
    const { id, email, name, isService } = user(userId) as UserRecord;
    return { id, email, name, isService, role, createdAt };
  };
  const membership = (teamId: string, userId: string) =>
    ofTeam(tables.members, teamId).find((one) => one.userId === userId);
  const isOf = (one: SessionRecord, of: Pick<SessionRecord, 'userId' | 'apiKeyId'>) =>
    one.userId === of.userId && one.apiKeyId === of.apiKeyId;
  const isTaken = (taken: boolean) => {
    if (taken) throw new LowrankError('conflict', 'A row with the same key exists.');
  };
  return {
    members: {
      userByEmail: async (email) =>
        orNull(
          tables.users.find((one) => one.email === email),
          (one) => one,
        ),
      user: async (id) => user(id) ?? null,
      insertUser: async (one) => {
        isTaken(one.email !== null && tables.users.some(({ email }) => email === one.email));
        tables.users.push(one);
      },
      setPassword: async (userId, passwordHash) => {
        const one = user(userId);
        if (one?.isService === false) one.passwordHash = passwordHash;
      },
      teamsOf: async (userId) =>
        tables.members
          .filter((one) => one.userId === userId)
          .sort((a, b) => compare(a.createdAt, b.createdAt) || compare(a.teamId, b.teamId))
          .map(({ teamId: id, role }) => {
            const index = tables.teams.findIndex((team) => team.id === id);
            return { id, name: tables.teams[index]?.name ?? '', role, operator: index === 0 };
          }),
      list: async (teamId) =>
        ofTeam(tables.members, teamId)
          .sort((a, b) => compare(a.createdAt, b.createdAt) || compare(a.userId, b.userId))
          .map(toMember),
      find: async (teamId, userId) => orNull(membership(teamId, userId), toMember),
      add: async (teamId, { userId, role, at: createdAt }) => {
        isTaken(membership(teamId, userId) !== undefined);
        tables.members.push({ teamId, userId, role, createdAt });
      },
      change: async (teamId, userId, role) => {
        Object.assign(membership(teamId, userId) ?? {}, { role });
      },
      remove: async (teamId, userId) => {
        const gone = membership(teamId, userId);
        tables.members = tables.members.filter((one) => one !== gone);
      },
    },
    sessions: {
      insert: async (session) => void tables.sessions.push(session),
      find: async (sha256) => tables.sessions.find((one) => one.secretSha256 === sha256) ?? null,
      chooseTeam: async (id, teamId) => {
        Object.assign(tables.sessions.find((one) => one.id === id) ?? {}, { teamId });
      },
      remove: async (id) => {
        tables.sessions = tables.sessions.filter((one) => one.id !== id);
      },
      list: async (of, now) =>
        tables.sessions.filter((one) => isOf(one, of) && one.expiresAt > now).sort((a, b) => byAge(b, a)),
      use: async (id, usedAt) => {
        Object.assign(tables.sessions.find((one) => one.id === id) ?? {}, { usedAt });
      },
      removeOthers: async (of, exceptId) => {
        const before = tables.sessions.length;
        tables.sessions = tables.sessions.filter((one) => !isOf(one, of) || one.id === exceptId);
        return before - tables.sessions.length;
      },
      removeExpired: async (now) => {
        tables.sessions = tables.sessions.filter((one) => one.expiresAt > now);
      },
    },
    passwordResets: {
      insert: async (reset) => void tables.passwordResets.push(reset),
      find: async (sha256) => tables.passwordResets.find((one) => one.tokenSha256 === sha256) ?? null,
      removeOf: async (userId) => {
        const before = tables.passwordResets.length;
        tables.passwordResets = tables.passwordResets.filter((one) => one.userId !== userId);
        return before - tables.passwordResets.length;
      },
    },
    attempts: {
      count: async (key, { now, until }) => {
        const there = tables.attempts.find((one) => one.key === key && one.until > now);
        const row = there ? { ...there, failures: there.failures + 1 } : { key, failures: 1, until };
        tables.attempts = [...tables.attempts.filter((one) => one.key !== key), row];
        return { failures: row.failures, until: row.until };
      },
      forgive: async (key) => {
        const row = tables.attempts.find((one) => one.key === key);
        if (row && row.failures > 0) row.failures -= 1;
      },
      removeExpired: async (now) => {
        tables.attempts = tables.attempts.filter(({ until }) => until > now);
      },
    },
    invitations: {
      insert: async (teamId, invitation) => void tables.invitations.push({ ...invitation, teamId }),
      list: async (teamId) =>
        ofTeam(tables.invitations, teamId)
          .sort((a, b) => byAge(b, a))
          .map(({ teamId: _team, tokenSha256: _token, ...invitation }) => invitation),
      remove: async (teamId, id) => {
        const gone = ofTeam(tables.invitations, teamId).find((one) => one.id === id);
        tables.invitations = tables.invitations.filter((one) => one !== gone);
        return gone !== undefined;
      },
      lock: async (sha256) =>
        orNull(
          tables.invitations.find((one) => one.tokenSha256 === sha256),
          ({ tokenSha256: _token, ...invitation }) => invitation,
        ),
      accept: async (id, at) => {
        Object.assign(tables.invitations.find((one) => one.id === id) ?? {}, { acceptedAt: at });
      },
    },
  };
}
