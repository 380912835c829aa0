import { type ApiKey } from '@lowrank/contracts';
import { type UnitOfWork } from '../ports/repositories';
import { hashApiKeySecret, isWellFormedApiKey } from './secret';

/** The live key that a secret belongs to, or null. A mistyped secret is told by its checksum, without a query. */
export async function authenticate(unitOfWork: UnitOfWork, secret: string): Promise<ApiKey | null> {
  if (!isWellFormedApiKey(secret)) return null;
  const key = await unitOfWork.look(({ apiKeys }) => apiKeys.findBySecret(hashApiKeySecret(secret)));
  return key !== null && key.revokedAt === null ? key : null;
}
