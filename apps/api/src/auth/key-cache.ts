import { type ApiKey } from '@lowrank/contracts';
import { authenticate, hashApiKeySecret, type UnitOfWork } from '@lowrank/domain';

/** Well under the five seconds within which a revoked key has to stop working in every API process. */
const lifetimeMs = 3000;
const maxEntries = 10_000;

/** Remembers live keys for a moment, by hash, so that not every request asks the database. Unknown keys are not remembered. */
export class KeyCache {
  private readonly entries = new Map<string, { key: ApiKey; expiresAt: number }>();

  constructor(
    private readonly unitOfWork: UnitOfWork,
    /** Milliseconds on a clock that never goes back. */
    private readonly clock: () => number = () => performance.now(),
  ) {}

  async find(secret: string): Promise<ApiKey | null> {
    const hash = hashApiKeySecret(secret);
    const entry = this.entries.get(hash);
    if (entry && this.clock() < entry.expiresAt) return entry.key;
    // The lifetime runs from before the query: a revocation during it must not be outlived.
    const expiresAt = this.clock() + lifetimeMs;
    const key = await authenticate(this.unitOfWork, secret);
    if (this.entries.size >= maxEntries) this.entries.clear();
    if (key) this.entries.set(hash, { key, expiresAt });
    else this.entries.delete(hash);
    return key;
  }
}
