import { LowrankError } from '@lowrank/contracts';
import { found } from '../not-found';
import { type Ports } from '../ports';

/**
 * Revokes a key for good; revoking it again changes nothing. Refuses to take a team's last admin key, since nobody could make another;
 * that is a guard against mistakes, not against two admins who revoke each other at the same instant. Errors: not_found, conflict.
 */
export async function revokeApiKey(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  teamId: string,
  id: string,
): Promise<void> {
  const at = clock.now();
  await unitOfWork.run(async ({ apiKeys }) => {
    const keys = await apiKeys.list(teamId);
    const key = found(keys.find((one) => one.id === id) ?? null, 'API key', id);
    if (key.revokedAt !== null) return;
    const admins = keys.filter((one) => one.role === 'admin' && one.revokedAt === null);
    if (key.role === 'admin' && admins.length === 1)
      throw new LowrankError(
        'conflict',
        `API key ${id} is the team's last admin key. Make another before revoking it.`,
      );
    await apiKeys.revoke(teamId, id, at);
  });
}
