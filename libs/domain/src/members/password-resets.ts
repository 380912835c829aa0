import {
  type CreatedPasswordReset,
  LowrankError,
  type Principal,
  type UsePasswordReset,
} from '@lowrank/contracts';
import { assertMayGive } from '../access/allow';
import { after } from '../clock-and-ids';
import { hashApiKeySecret, makeToken } from '../keys/secret';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type PasswordResetRecord, type UserRecord } from '../ports/members';
import { type Repositories } from '../ports/repositories';
import { hashPassword } from './password';

const resetMs = 24 * 3_600_000;
const prefix = 'lrr_';

/**
 * Lets a member choose another password, by a token that is returned this once; one that was made before is good no more. An account that is in
 * other teams too is theirs as well: only the operator's team resets it.
 * Errors: not_found; conflict of a service account; forbidden of somebody who may more than the caller, or is in other teams.
 */
export async function makePasswordReset(
  { unitOfWork, clock, ids }: Ports,
  caller: Principal,
  memberId: string,
): Promise<CreatedPasswordReset> {
  const token = makeToken(prefix);
  const createdAt = clock.now();
  const reset: PasswordResetRecord = {
    ...{ id: ids.make('passwordReset'), teamId: caller.teamId, userId: memberId },
    ...{ tokenSha256: hashApiKeySecret(token), createdAt, expiresAt: after(createdAt, resetMs) },
  };
  await unitOfWork.acrossTeams.run(async (repositories) => {
    const { members, passwordResets, audit } = repositories;
    const member = found(await members.find(caller.teamId, memberId), 'member', memberId);
    if (member.isService)
      throw new LowrankError('conflict', `${member.name} is a service account, which has no password.`);
    assertMayGive(caller, { role: member.role, scopes: null });
    if (!(await mayReset(repositories, reset)))
      throw new LowrankError(
        'forbidden',
        `${member.name} is in other teams too: the operator of this installation has to reset the password.`,
      );
    await passwordResets.removeOf(memberId);
    await passwordResets.insert(reset);
    await audit.add('reset-password', { kind: 'member', id: memberId, name: member.email ?? member.name });
  });
  return { token, expiresAt: reset.expiresAt };
}

/**
 * Gives the account that a token is for another password, and ends its sessions. Error: reset_invalid: it is unknown, used or expired, or its user has joined
 * another team since it was made.
 */
export async function usePasswordReset(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  { token, password }: UsePasswordReset,
  requestId: string,
): Promise<void> {
  const tokenSha256 = hashApiKeySecret(token);
  const now = clock.now();
  // Hashing takes long, and is for nobody without a token.
  const known = await unitOfWork.acrossTeams.look((repositories) =>
    liveReset(repositories, tokenSha256, now),
  );
  const passwordHash = await hashPassword(password);
  const { user } = known;
  const actor = { type: 'user' as const, id: user.id, name: user.name };
  const deed = { teamId: known.reset.teamId, actor, action: 'password.reset' as const, requestId };
  await unitOfWork.forDeed(deed).acrossTeams.run(async (repositories) => {
    const { members, sessions, passwordResets, audit } = repositories;
    await liveReset(repositories, tokenSha256, now);
    // Of two at once one finds it.
    if ((await passwordResets.removeOf(user.id)) === 0) throw invalid();
    await members.setPassword(user.id, passwordHash);
    await sessions.removeOthers({ userId: user.id, apiKeyId: null }, null);
    await audit.add('choose-password', { kind: 'member', id: user.id, name: user.email ?? user.name });
  });
}

const invalid = () =>
  new LowrankError(
    'reset_invalid',
    'The token is unknown, used or expired, or was made for an account that is in other teams by now.',
  );

async function liveReset(
  repositories: Repositories,
  tokenSha256: string,
  now: string,
): Promise<{ reset: PasswordResetRecord; user: UserRecord }> {
  const reset = await repositories.passwordResets.find(tokenSha256);
  const user = reset && (await repositories.members.user(reset.userId));
  if (!reset || !user || reset.expiresAt <= now || !(await mayReset(repositories, reset))) throw invalid();
  return { reset, user };
}

/** Whether the user is a member of the team, and of no other one; of the operator's, be they in others too. */
async function mayReset(
  { members }: Repositories,
  { teamId, userId }: PasswordResetRecord,
): Promise<boolean> {
  const teams = await members.teamsOf(userId);
  const team = teams.find(({ id }) => id === teamId);
  return team !== undefined && (team.operator || teams.length === 1);
}
