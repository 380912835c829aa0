import {
  type CreateServiceAccount,
  LowrankError,
  type Member,
  type Principal,
  type Role,
} from '@lowrank/contracts';
import { assertMayGive } from '../access/allow';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';

/**
 * Gives a member another role, which bounds their keys and sessions from then on. Errors: not_found; forbidden to give or to take more than
 * one has; conflict of the last owner.
 */
export const changeRole = (
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  caller: Principal,
  id: string,
  role: Role,
): Promise<Member> =>
  unitOfWork.run(async (repositories) => {
    assertMayGive(caller, { role, scopes: null });
    const member = await takeable(repositories, caller, id, role);
    const { members, audit } = repositories;
    await members.change(caller.teamId, id, role);
    await audit.add('change-role', targetOf(member), { from: member.role, to: role });
    return { ...member, role };
  });

/**
 * Removes a member or a service account. Their keys are revoked with it, and their sessions end or go on in another team of theirs.
 * Errors: not_found; forbidden of somebody of a higher role; conflict of the last owner.
 */
export const removeMember = (
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  caller: Principal,
  id: string,
): Promise<void> =>
  unitOfWork.run(async (repositories) => {
    const member = await takeable(repositories, caller, id, null);
    const { members, apiKeys, audit } = repositories;
    const keys = await apiKeys.revokeOf(caller.teamId, id, clock.now());
    await members.remove(caller.teamId, id);
    await audit.add('remove', targetOf(member), { role: member.role, keys });
  });

/** Makes a member that is no person: it has keys and cannot sign in. Errors: forbidden; name_taken. */
export async function createServiceAccount(
  { unitOfWork, clock, ids }: Ports,
  caller: Principal,
  { name, role }: CreateServiceAccount,
): Promise<Member> {
  assertMayGive(caller, { role, scopes: null });
  const { teamId } = caller;
  const id = ids.make('user');
  const createdAt = clock.now();
  // A user is nobody's before it is a member.
  return unitOfWork.acrossTeams.run(async ({ teams, members, audit }) => {
    await teams.lock(teamId);
    if ((await members.list(teamId)).some((one) => one.isService && one.name === name))
      throw new LowrankError('name_taken', `There is a service account '${name}' already.`);
    await members.insertUser({ id, name, email: null, passwordHash: null, isService: true, createdAt });
    await members.add(teamId, { userId: id, role, at: createdAt });
    await audit.add('make', { kind: 'service-account', id, name }, { role });
    return { id, name, email: null, role, isService: true, createdAt };
  });
}

const targetOf = ({ id, name, email, isService }: Member) => ({
  kind: isService ? 'service-account' : 'member',
  id,
  name: email ?? name,
});

/** The member whose role the caller may change to `to` or, by null, take away; one change of a team's members at a time. */
async function takeable(
  { teams, members }: Repositories,
  caller: Principal,
  id: string,
  to: Role | null,
): Promise<Member> {
  await teams.lock(caller.teamId);
  const all = await members.list(caller.teamId);
  const member = found(all.find((one) => one.id === id) ?? null, 'member', id);
  assertMayGive(caller, { role: member.role, scopes: null });
  assertOwnerLeft(all, member, to);
  return member;
}

/** Throws conflict when the team would have no owner with the member's role changed to `to`, or by null taken away. */
export function assertOwnerLeft(all: Member[], member: Member, to: Role | null): void {
  const isOwner = (one: Member) => one.role === 'owner' && !one.isService;
  if (isOwner(member) && to !== 'owner' && all.filter(isOwner).length === 1)
    throw new LowrankError(
      'conflict',
      `${member.name} is the team's last owner. Make another member one before.`,
    );
}
