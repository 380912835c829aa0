import { LowrankError } from '@lowrank/contracts';
import { createHash } from 'node:crypto';
import { after } from '../clock-and-ids';
import { type Ports } from '../ports';

const windowMs = 15 * 60_000;

/** Failures that an account and an address may have within a quarter of an hour. An address may be that of many people. */
export const maxFailures = { account: 10, address: 50 };

/** Whose failures are counted. */
export interface Attempt {
  account: string;
  /** Of the client. */
  address: string;
}

/** There were too many failures; `waitMs` until the next try. */
export class TooManyFailures extends LowrankError {
  constructor(readonly waitMs: number) {
    super('rate_limited', 'There were too many failures of this account or from this address.');
  }
}

/**
 * Lets somebody try to prove a password, and counts it unless it succeeds; many at once count before they have failed. All API processes count
 * together. Errors: TooManyFailures, and those of `work`.
 */
export async function guardAttempt<T>(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  { account, address }: Attempt,
  work: () => Promise<T>,
): Promise<T> {
  // Always in this order, so that two requests do not wait for each other.
  const limits = [
    { key: keyOf('account', account.toLowerCase()), max: maxFailures.account },
    { key: keyOf('address', address), max: maxFailures.address },
  ].sort((a, b) => (a.key < b.key ? -1 : 1));
  const now = clock.now();
  await unitOfWork.acrossTeams.run(async ({ attempts }) => {
    for (const { key, max } of limits) {
      const { failures, until } = await attempts.count(key, { now, until: after(now, windowMs) });
      // Rolls back what was counted: whoever is refused does not wait for longer.
      if (failures > max) throw new TooManyFailures(Date.parse(until) - Date.parse(now));
    }
  });
  const result = await work();
  await unitOfWork.acrossTeams.run(async ({ attempts }) => {
    for (const { key } of limits) await attempts.forgive(key);
    await attempts.removeExpired(now);
  });
  return result;
}

/** Neither addresses nor accounts that nobody has are kept. */
const keyOf = (kind: string, who: string): string =>
  createHash('sha256').update(`${kind} ${who}`).digest('hex');
