import { type ApiKey, type ApiKeyRole } from '@lowrank/contracts';
import { type Ports } from '../ports';
import { apiKeyHint, hashApiKeySecret, makeApiKeySecret } from './secret';

/** Makes a key for a team. The secret is returned this once; what is stored is its SHA-256. */
export async function createApiKey(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  { name, role }: { name: string; role: ApiKeyRole },
): Promise<ApiKey & { secret: string }> {
  const secret = makeApiKeySecret();
  const key: ApiKey = {
    id: ids.make('apiKey'),
    teamId,
    name,
    role,
    hint: apiKeyHint(secret),
    createdAt: clock.now(),
    revokedAt: null,
  };
  await unitOfWork.run(({ apiKeys }) => apiKeys.insert({ ...key, secretSha256: hashApiKeySecret(secret) }));
  return { ...key, secret };
}
