import { type ApiKey, type CreateOwnKey, LowrankError, type Principal } from '@lowrank/contracts';
import { createApiKey } from '../keys/create-api-key';
import { found, notFound } from '../not-found';
import { type Ports } from '../ports';
import { assertOwnerLeft } from './members';

/** The member that a request is made by. Error: not_found for a key that is the team's. */
export function memberOf({ memberId }: Principal): string {
  if (memberId !== null) return memberId;
  throw new LowrankError(
    'not_found',
    "The request is no member's: it was made with a key of the team.",
    undefined,
    {
      help: 'Sign in, or use a key of yours.',
    },
  );
}

/** A member's own keys. Error: not_found. */
export async function listOwnKeys(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  caller: Principal,
): Promise<ApiKey[]> {
  const memberId = memberOf(caller);
  const keys = await unitOfWork.look(({ apiKeys }) => apiKeys.list(caller.teamId));
  return keys.filter((key) => key.memberId === memberId);
}

/** Makes a member a key of their own, that may do no more than they may. Errors: not_found; those of createApiKey. */
export async function createOwnKey(
  ports: Ports,
  caller: Principal,
  { role = caller.role, scopes = caller.scopes, expiresAt, ...request }: CreateOwnKey,
): Promise<ApiKey & { secret: string }> {
  memberOf(caller);
  // What was made with a key that ends would outlive it.
  const isKey = caller.actor.type === 'key';
  const latest = isKey ? caller.expiresAt : null;
  if (latest !== null && expiresAt && Date.parse(expiresAt) > Date.parse(latest))
    throw new LowrankError(
      'forbidden',
      `Made with a key that is good until ${latest}, it may not be good for longer.`,
    );
  return createApiKey(
    ports,
    caller.teamId,
    { ...request, role, scopes, expiresAt: expiresAt ?? latest },
    caller,
  );
}

/** Revokes a key of the member's own; again changes nothing. Error: not_found, of others' keys too. */
export async function revokeOwnKey(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  caller: Principal,
  id: string,
): Promise<void> {
  const memberId = memberOf(caller);
  const at = clock.now();
  await unitOfWork.run(async ({ apiKeys, audit }) => {
    const key = (await apiKeys.list(caller.teamId)).find((one) => one.id === id && one.memberId === memberId);
    if (key === undefined) throw notFound('API key', id);
    await audit.add('revoke', { kind: 'key', id, name: key.name });
    if (key.revokedAt === null) await apiKeys.revoke(caller.teamId, id, at);
  });
}

/**
 * Takes a member out of the team that the request is about, by their own wish: their keys there are revoked, and their sessions go on in another team of theirs, or
 * end. Errors: not_found; conflict of the last owner.
 */
export async function leaveTeam(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  caller: Principal,
): Promise<void> {
  const id = memberOf(caller);
  const { teamId } = caller;
  const at = clock.now();
  await unitOfWork.run(async ({ teams, members, apiKeys, audit }) => {
    await teams.lock(teamId);
    const all = await members.list(teamId);
    const member = found(all.find((one) => one.id === id) ?? null, 'member', id);
    assertOwnerLeft(all, member, null);
    const keys = await apiKeys.revokeOf(teamId, id, at);
    await members.remove(teamId, id);
    const kind = member.isService ? 'service-account' : 'member';
    await audit.add('leave', { kind, id, name: member.email ?? member.name }, { role: member.role, keys });
  });
}
