import { type ApiKey, type CreateApiKey, LowrankError, type Principal } from '@lowrank/contracts';
import { assertMayGive } from '../access/allow';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { apiKeyHint, hashApiKeySecret, makeApiKeySecret } from './secret';

/**
 * Makes a key for a team, which belongs to a service account or to the member who asks for it. The secret is returned this once; what is stored is its SHA-256. `maker` is who asks for it, and gives no more
 * than they have; left out: the platform itself. Errors: forbidden, not_found (service account), validation_failed for an expiry that is not to come.
 */
export async function createApiKey(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  { name, role = 'member', scopes = null, expiresAt = null, serviceAccount }: CreateApiKey,
  maker?: Principal,
): Promise<ApiKey & { secret: string }> {
  if (maker !== undefined) assertMayGive(maker, { role, scopes });
  const now = clock.now();
  if (expiresAt !== null && Date.parse(expiresAt) <= Date.parse(now))
    throw new LowrankError('validation_failed', `expiresAt: ${expiresAt} is not to come; it is ${now}.`, [
      { path: 'expiresAt', message: 'must be a time to come' },
    ]);
  const secret = makeApiKeySecret();
  const key: ApiKey = {
    id: ids.make('apiKey'),
    teamId,
    name,
    role,
    scopes,
    memberId: serviceAccount ?? maker?.memberId ?? null,
    hint: apiKeyHint(secret),
    createdAt: now,
    expiresAt,
    revokedAt: null,
  };
  await unitOfWork.run(async ({ apiKeys, members, audit }) => {
    if (serviceAccount) {
      const member = await members.find(teamId, serviceAccount);
      found(member?.isService ? member : null, 'service account', serviceAccount, 'serviceAccount');
    }
    await apiKeys.insert({ ...key, secretSha256: hashApiKeySecret(secret) });
    await audit.add(
      'make',
      { kind: 'key', id: key.id, name },
      { role, scopes, expiresAt, memberId: key.memberId },
    );
  });
  return { ...key, secret };
}
