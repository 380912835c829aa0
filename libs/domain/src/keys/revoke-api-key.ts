import { type ApiKey, LowrankError, type Principal } from '@lowrank/contracts';
import { assertMayGive, isAtLeast } from '../access/allow';
import { found } from '../not-found';
import { type Ports } from '../ports';

/** Keys that can make others, for good. */
const isKeeper = ({ role, scopes, expiresAt, revokedAt }: ApiKey): boolean =>
  isAtLeast(role, 'admin') && scopes === null && expiresAt === null && revokedAt === null;

/**
 * Revokes a key for good; revoking it again changes nothing. Refuses to take a team's last key that can make others of its role; that is
 * a guard against mistakes, not against two admins who revoke each other at the same instant. Errors: not_found, conflict, forbidden when
 * the key may do more than who asks.
 */
export async function revokeApiKey(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  caller: Principal,
  id: string,
): Promise<void> {
  const at = clock.now();
  await unitOfWork.run(async ({ apiKeys, audit }) => {
    const keys = await apiKeys.list(caller.teamId);
    const key = found(keys.find((one) => one.id === id) ?? null, 'API key', id);
    assertMayGive(caller, key);
    await audit.add('revoke', { kind: 'key', id, name: key.name });
    if (key.revokedAt !== null) return;
    const others = keys.filter((one) => one.id !== id && isKeeper(one) && isAtLeast(one.role, key.role));
    if (isKeeper(key) && others.length === 0)
      throw new LowrankError(
        'conflict',
        `API key ${id} is the team's last with which keys of the role ${key.role} can be made. Make another before revoking it.`,
      );
    await apiKeys.revoke(caller.teamId, id, at);
  });
}
