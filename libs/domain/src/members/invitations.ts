import {
  type AcceptInvitation,
  type CreateInvitation,
  type Invitation,
  LowrankError,
  type Member,
  type Principal,
  type Role,
} from '@lowrank/contracts';
import { assertMayGive } from '../access/allow';
import { after } from '../clock-and-ids';
import { hashApiKeySecret, makeToken } from '../keys/secret';
import { found, notFound } from '../not-found';
import { type Ports } from '../ports';
import { type UserRecord } from '../ports/members';
import { type Repositories } from '../ports/repositories';
import { hashPassword, isPassword } from './password';

const hourMs = 3_600_000;
const defaultHours = 72;
const prefix = 'lri_';

/** An invitation that is not written yet, and its token, which is for whoever it is for. */
export function newInvitation(
  { clock, ids }: Pick<Ports, 'clock' | 'ids'>,
  email: string,
  role: Role,
  expiresInHours = defaultHours,
): Invitation & { token: string; tokenSha256: string } {
  const token = makeToken(prefix);
  const createdAt = clock.now();
  return {
    ...{ id: ids.make('invitation'), email: email.toLowerCase(), role, createdAt, acceptedAt: null },
    expiresAt: after(createdAt, expiresInHours * hourMs),
    ...{ token, tokenSha256: hashApiKeySecret(token) },
  };
}

/** Opens a team to an address. The token is returned this once. Errors: forbidden; conflict when somebody of that address is a member. */
export async function invite(
  ports: Ports,
  caller: Principal,
  { email, role, expiresInHours }: CreateInvitation,
): Promise<Invitation & { token: string }> {
  assertMayGive(caller, { role, scopes: null });
  const { token, tokenSha256, ...invitation } = newInvitation(ports, email, role, expiresInHours);
  await ports.unitOfWork.run(async ({ invitations, members, audit }) => {
    if ((await members.list(caller.teamId)).some((one) => one.email === invitation.email))
      throw new LowrankError('conflict', `${invitation.email} is a member already.`);
    await invitations.insert(caller.teamId, { ...invitation, tokenSha256 });
    await audit.add('invite', { kind: 'invitation', id: invitation.id, name: invitation.email }, { role });
  });
  return { ...invitation, token };
}

/** Closes an invitation, whether or not somebody came by it. Error: not_found. */
export const revokeInvitation = (
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  id: string,
): Promise<void> =>
  unitOfWork.run(async ({ invitations, audit }) => {
    if (!(await invitations.remove(teamId, id))) throw notFound('invitation', id);
    await audit.add('revoke', { kind: 'invitation', id });
  });

/**
 * Makes whoever has an invitation's token a member. For an address with an account it takes the account's password too; else an account
 * is made, with `name` and that password. Errors: invitation_invalid; sign_in_failed for a wrong password; validation_failed without a
 * name for a new account; conflict when they are a member already.
 */
export async function acceptInvitation(
  { unitOfWork, clock, ids }: Ports,
  { token, name, password }: AcceptInvitation,
  requestId: string,
): Promise<Member> {
  const tokenSha256 = hashApiKeySecret(token);
  // Hashing takes long, and no transaction waits for it.
  const known = await unitOfWork.acrossTeams.run(async (repositories) => {
    const { email, teamId } = await openInvitation(repositories, tokenSha256, clock.now());
    return { email, teamId, user: await repositories.members.userByEmail(email) };
  });
  if (known.user !== null && !(await isPassword(password, known.user.passwordHash)))
    throw new LowrankError('sign_in_failed', `The account of ${known.email} has another password.`);
  if (known.user === null && name === undefined)
    throw new LowrankError('validation_failed', 'A new account needs a name.', [
      { path: 'name', message: 'is needed, as the address has no account' },
    ]);
  const at = clock.now();
  const user: UserRecord = known.user ?? {
    ...{ id: ids.make('user'), email: known.email, name: name ?? '', isService: false, createdAt: at },
    passwordHash: await hashPassword(password),
  };
  const { teamId } = known;
  const actor = { type: 'user' as const, id: user.id, name: user.name };
  const deed = { teamId, actor, action: 'invitations.accept' as const, requestId };
  return unitOfWork.forDeed(deed).acrossTeams.run(async (repositories) => {
    const { members, invitations, audit } = repositories;
    const { id, role, email } = await openInvitation(repositories, tokenSha256, at);
    if (known.user === null) await members.insertUser(user);
    await members.add(teamId, { userId: user.id, role, at });
    await invitations.accept(id, at);
    await audit.add('join', { kind: 'member', id: user.id, name: email }, { role, invitation: id });
    return found(await members.find(teamId, user.id), 'member', user.id);
  });
}

async function openInvitation({ invitations }: Repositories, tokenSha256: string, now: string) {
  const invitation = await invitations.lock(tokenSha256);
  if (invitation === null || invitation.acceptedAt !== null || invitation.expiresAt <= now)
    throw new LowrankError('invitation_invalid', 'The invitation is unknown, revoked, used or expired.');
  return invitation;
}
