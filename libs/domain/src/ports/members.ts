import { type Invitation, type Member, type Role, type Session } from '@lowrank/contracts';

/** Somebody, in whatever teams. Of a service account `email` and `passwordHash` are null. */
export interface UserRecord {
  id: string;
  /** In lower case. */
  email: string | null;
  name: string;
  passwordHash: string | null;
  isService: boolean;
  createdAt: string;
}

export type Membership = Session['teams'][number] & { operator: boolean };

/** People, service accounts, and what they are in teams. Those without a team's id are for a unit of work across teams. */
export interface MemberRepository {
  userByEmail(email: string): Promise<UserRecord | null>;
  user(id: string): Promise<UserRecord | null>;
  /** LowrankError conflict when somebody has that address. */
  insertUser(user: UserRecord): Promise<void>;
  setPassword(userId: string, passwordHash: string): Promise<void>;
  /** Where somebody is a member, the longest first. */
  teamsOf(userId: string): Promise<Membership[]>;
  /** The longest first. */
  list(teamId: string): Promise<Member[]>;
  find(teamId: string, userId: string): Promise<Member | null>;
  /** LowrankError conflict when they are a member already. */
  add(teamId: string, member: { userId: string; role: Role; at: string }): Promise<void>;
  change(teamId: string, userId: string, role: Role): Promise<void>;
  remove(teamId: string, userId: string): Promise<void>;
}

/** Of a user, or of the API key that it was begun with: one of both is null. */
export interface SessionRecord {
  id: string;
  userId: string | null;
  apiKeyId: string | null;
  teamId: string;
  secretSha256: string;
  createdAt: string;
  /** Not told of every use: some minutes late. */
  usedAt: string;
  expiresAt: string;
  /** Where and with what it was begun; null: not known. */
  address: string | null;
  userAgent: string | null;
}

/** For a unit of work across teams: a session is found before it is known whose it is. */
export interface SessionRepository {
  insert(session: SessionRecord): Promise<void>;
  find(secretSha256: string): Promise<SessionRecord | null>;
  /** All of a user, or of an API key, that are good after a time; the newest first. */
  list(of: Pick<SessionRecord, 'userId' | 'apiKeyId'>, now: string): Promise<SessionRecord[]>;
  use(id: string, at: string): Promise<void>;
  chooseTeam(id: string, teamId: string): Promise<void>;
  remove(id: string): Promise<void>;
  /** All sessions of a user, or of an API key, but one; null: all. Resolves to how many there were. */
  removeOthers(of: Pick<SessionRecord, 'userId' | 'apiKeyId'>, exceptId: string | null): Promise<number>;
  removeExpired(now: string): Promise<void>;
}

export interface InvitationRepository {
  insert(teamId: string, invitation: Invitation & { tokenSha256: string }): Promise<void>;
  /** Newest first. */
  list(teamId: string): Promise<Invitation[]>;
  /** Returns false when there is no such invitation. */
  remove(teamId: string, id: string): Promise<boolean>;
  /** Of any team, its row locked until the transaction ends. For a unit of work across teams. */
  lock(tokenSha256: string): Promise<(Invitation & { teamId: string }) | null>;
  accept(id: string, at: string): Promise<void>;
}

export interface PasswordResetRecord {
  id: string;
  teamId: string;
  userId: string;
  tokenSha256: string;
  createdAt: string;
  expiresAt: string;
}

/** For a unit of work across teams: a reset is found before it is known whose it is. */
export interface PasswordResetRepository {
  insert(reset: PasswordResetRecord): Promise<void>;
  find(tokenSha256: string): Promise<PasswordResetRecord | null>;
  /** All of somebody's. Resolves to how many there were. */
  removeOf(userId: string): Promise<number>;
}

/** Failures to prove a password, by key. For a unit of work across teams. */
export interface AttemptRepository {
  /** Counts one more, from nothing where the time of those before is over, and holds the row until the transaction ends. */
  count(key: string, times: { now: string; until: string }): Promise<{ failures: number; until: string }>;
  /** Takes one back. */
  forgive(key: string): Promise<void>;
  removeExpired(now: string): Promise<void>;
}
