import { LowrankError, type Principal } from '@lowrank/contracts';
import { type UnitOfWork } from '../ports/repositories';
import { hashApiKeySecret, isWellFormedApiKey } from './secret';

/**
 * On whose behalf a secret speaks; null when it is mistyped, which its checksum tells without a query, unknown or revoked.
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
  if (found === null || found.key.revokedAt !== null) return null;
  const { id, teamId, name, role, scopes, expiresAt } = found.key;
  if (expiresAt !== null && Date.parse(expiresAt) <= Date.parse(now))
    throw new LowrankError('key_expired', `The API key ${id} has expired at ${expiresAt}.`);
  return { teamId, role, scopes, operator: found.operator, actor: { type: 'key', id, name }, expiresAt };
}
