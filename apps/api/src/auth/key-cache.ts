import { type Principal } from '@lowrank/contracts';
import { authenticate, hashApiKeySecret, type UnitOfWork } from '@lowrank/domain';

/** Well under the five seconds within which a revoked or expired key has to stop working in every API process. */
const lifetimeMs = 3000;
const maxEntries = 10_000;

/** Remembers live keys for a moment, by hash, so that not every request asks the database. Unknown keys are not remembered. */
export class KeyCache {
  private readonly entries = new Map<string, { principal: Principal; expiresAt: number }>();

  constructor(
    private readonly unitOfWork: UnitOfWork,
    /** The time that keys expire by. */
    private readonly now: () => string,
    /** Milliseconds on a clock that never goes back. */
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Errors: those of authenticate. */
  async find(secret: string): Promise<Principal | null> {
    const hash = hashApiKeySecret(secret);
    const entry = this.entries.get(hash);
    if (entry && this.clock() < entry.expiresAt) return entry.principal;
    this.entries.delete(hash);
    // The lifetime runs from before the query: a revocation during it must not be outlived.
    const expiresAt = this.clock() + lifetimeMs;
    const principal = await authenticate(this.unitOfWork, secret, this.now());
    if (this.entries.size >= maxEntries) this.entries.clear();
    if (principal) this.entries.set(hash, { principal, expiresAt });
    return principal;
  }
}
