import { LowrankError } from '@lowrank/contracts';
import { type FastifyReply } from 'fastify';

const windowMs = 15 * 60_000;
const maxEntries = 100_000;

/** Failures that an account and an address may have within the window. An address may be that of many people. */
export const maxFailures = { account: 10, address: 50 };

/** Counts failures to prove a password, so that passwords cannot be tried out. Each API process counts for itself. */
export class Attempts {
  private readonly counts = new Map<string, { failures: number; until: number }>();

  constructor(
    /** Milliseconds on a clock that never goes back. */
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /**
   * Lets somebody try, and counts it unless it succeeds; many at once count before they have failed. Error: rate_limited, with the header
   * Retry-After, and those of `work`.
   */
  async guard<T>(
    who: { account: string; address: string },
    reply: FastifyReply,
    work: () => Promise<T>,
  ): Promise<T> {
    const entries = [
      this.entry(`account ${who.account.toLowerCase()}`, maxFailures.account),
      this.entry(`address ${who.address}`, maxFailures.address),
    ];
    const spent = entries.filter(({ entry, max }) => entry.failures >= max);
    if (spent.length > 0) {
      const waitMs = Math.max(...spent.map(({ entry }) => entry.until - this.clock()));
      void reply.header('retry-after', String(Math.ceil(waitMs / 1000)));
      throw new LowrankError(
        'rate_limited',
        'There were too many failures of this account or from this address.',
      );
    }
    for (const { entry } of entries) entry.failures++;
    const result = await work();
    for (const { entry } of entries) entry.failures--;
    return result;
  }

  private entry(key: string, max: number) {
    const now = this.clock();
    let entry = this.counts.get(key);
    if (entry === undefined || entry.until <= now) {
      if (this.counts.size >= maxEntries) this.counts.clear();
      entry = { failures: 0, until: now + windowMs };
      this.counts.set(key, entry);
    }
    return { entry, max };
  }
}
