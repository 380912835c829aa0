import { type Invitation, type Member, type Role } from '@lowrank/contracts';
import {
  type InvitationRepository,
  type MemberRepository,
  type SessionRecord,
  type SessionRepository,
} from '@lowrank/domain';
import {
  type InvitationModel,
  type MemberModel,
  type SessionModel,
  type UserModel,
} from '../generated/models';
import { iso, isoOrNull, type Tx } from '../values';

/** What a team may see of a user; the role of requests may read no more. */
const shown = { id: true, email: true, name: true, isService: true } as const;

const toMember = ({
  user,
  role,
  createdAt,
}: MemberModel & { user: Pick<UserModel, keyof typeof shown> }): Member => ({
  ...user,
  role: role as Role,
  createdAt: iso(createdAt),
});

const toUser = ({ createdAt, ...user }: UserModel) => ({ ...user, createdAt: iso(createdAt) });

export const memberRepository = (db: Tx): MemberRepository => ({
  async userByEmail(email) {
    const row = await db.user.findUnique({ where: { email } });
    return row && toUser(row);
  },

  async user(id) {
    const row = await db.user.findUnique({ where: { id } });
    return row && toUser(row);
  },

  async insertUser({ createdAt, ...user }) {
    await db.user.create({ data: { ...user, createdAt: new Date(createdAt) } });
  },

  async setPassword(id, passwordHash) {
    await db.user.updateMany({ where: { id, isService: false }, data: { passwordHash } });
  },

  async teamsOf(userId) {
    const rows = await db.member.findMany({
      where: { userId },
      include: { team: { select: { name: true, isOperator: true } } },
      orderBy: [{ createdAt: 'asc' }, { teamId: 'asc' }],
    });
    return rows.map(({ teamId: id, role, team: { name, isOperator: operator } }) => ({
      ...{ id, name, operator },
      role: role as Role,
    }));
  },

  async list(teamId) {
    const rows = await db.member.findMany({
      where: { teamId },
      include: { user: { select: shown } },
      orderBy: [{ createdAt: 'asc' }, { userId: 'asc' }],
    });
    return rows.map(toMember);
  },

  async find(teamId, userId) {
    const where = { teamId_userId: { teamId, userId } };
    const row = await db.member.findUnique({ where, include: { user: { select: shown } } });
    return row && toMember(row);
  },

  async add(teamId, { userId, role, at }) {
    await db.member.create({ data: { teamId, userId, role, createdAt: new Date(at) } });
  },

  async change(teamId, userId, role) {
    await db.member.updateMany({ where: { teamId, userId }, data: { role } });
  },

  async remove(teamId, userId) {
    await db.member.deleteMany({ where: { teamId, userId } });
  },
});

const toSession = ({ createdAt, usedAt, expiresAt, ...session }: SessionModel): SessionRecord => ({
  ...session,
  ...{ createdAt: iso(createdAt), usedAt: iso(usedAt), expiresAt: iso(expiresAt) },
});

export const sessionRepository = (db: Tx): SessionRepository => ({
  async insert({ createdAt, usedAt, expiresAt, ...session }) {
    const times = {
      createdAt: new Date(createdAt),
      usedAt: new Date(usedAt),
      expiresAt: new Date(expiresAt),
    };
    await db.session.create({ data: { ...session, ...times } });
  },

  async find(secretSha256) {
    const row = await db.session.findUnique({ where: { secretSha256 } });
    return row && toSession(row);
  },

  async list({ userId, apiKeyId }, now) {
    const rows = await db.session.findMany({
      where: { userId, apiKeyId, expiresAt: { gt: new Date(now) } },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
    });
    return rows.map(toSession);
  },

  async use(id, at) {
    await db.session.updateMany({ where: { id }, data: { usedAt: new Date(at) } });
  },

  async chooseTeam(id, teamId) {
    await db.session.updateMany({ where: { id }, data: { teamId } });
  },

  async remove(id) {
    await db.session.deleteMany({ where: { id } });
  },

  async removeOthers({ userId, apiKeyId }, exceptId) {
    const others = exceptId === null ? {} : { id: { not: exceptId } };
    return (await db.session.deleteMany({ where: { userId, apiKeyId, ...others } })).count;
  },

  async removeExpired(now) {
    await db.session.deleteMany({ where: { expiresAt: { lte: new Date(now) } } });
  },
});

const toInvitation = (row: InvitationModel): Invitation => ({
  ...{ id: row.id, email: row.email, role: row.role as Role },
  ...{ createdAt: iso(row.createdAt), expiresAt: iso(row.expiresAt), acceptedAt: isoOrNull(row.acceptedAt) },
});

export const invitationRepository = (db: Tx): InvitationRepository => ({
  async insert(teamId, { createdAt, expiresAt, ...invitation }) {
    const times = { createdAt: new Date(createdAt), expiresAt: new Date(expiresAt) };
    await db.invitation.create({ data: { ...invitation, ...times, teamId } });
  },

  async list(teamId) {
    const orderBy = [{ createdAt: 'desc' } as const, { id: 'desc' } as const];
    return (await db.invitation.findMany({ where: { teamId }, orderBy })).map(toInvitation);
  },

  async remove(teamId, id) {
    return (await db.invitation.deleteMany({ where: { teamId, id } })).count === 1;
  },

  async lock(tokenSha256) {
    await db.$queryRaw`SELECT 1 FROM invitations WHERE token_sha256 = ${tokenSha256} FOR UPDATE`;
    const row = await db.invitation.findUnique({ where: { tokenSha256 } });
    return row && { ...toInvitation(row), teamId: row.teamId };
  },

  async accept(id, at) {
    await db.invitation.updateMany({ where: { id }, data: { acceptedAt: new Date(at) } });
  },
});
