import { LowrankError, type Principal, type Role } from '@lowrank/contracts';
import { isAtLeast } from '../access/allow';
import { type FoundApiKey, type UnitOfWork } from '../ports/repositories';
import { hashApiKeySecret, isWellFormedApiKey } from './secret';

/**
 * On whose behalf a secret speaks; null when it is mistyped, which its checksum tells without a query, unknown or revoked, or its member is
 * one no more. A member's key may do no more than the member.
 * Error: key_expired.
 */
export async function authenticate(
  unitOfWork: UnitOfWork,
  secret: string,
  now: string,
): Promise<Principal | null> {
  if (!isWellFormedApiKey(secret)) return null;
  const found = await unitOfWork.acrossTeams.look(({ apiKeys }) =>
    apiKeys.findBySecret(hashApiKeySecret(secret)),
  );
  return principalOfKey(found, now);
}

/** On whose behalf a key speaks; null: on nobody's, any more. Error: key_expired. */
export function principalOfKey(found: FoundApiKey | null, now: string): Principal | null {
  if (found === null || found.key.revokedAt !== null) return null;
  const { id, teamId, name, scopes, expiresAt, memberId } = found.key;
  if (memberId !== null && found.memberRole === null) return null;
  if (expiresAt !== null && Date.parse(expiresAt) <= Date.parse(now))
    throw new LowrankError('key_expired', `The API key ${id} has expired at ${expiresAt}.`);
  const role = lesser(found.key.role, found.memberRole ?? found.key.role);
  const { operator } = found;
  return { teamId, role, scopes, operator, memberId, actor: { type: 'key', id, name }, expiresAt };
}

/** Of two roles the one that may do less. */
export const lesser = (one: Role, other: Role): Role => (isAtLeast(one, other) ? other : one);
