import { setTimeout as sleep } from 'node:timers/promises';

/** Seconds that anything is waited for whose time is no requirement: a machine that does other things too is slow. */
const patience = 900;

/** Something did not come about in time: the failure that is being tried has found a fault. */
export class Late extends Error {}

/** The suite was asked to stop. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted');
  }
}

const interruption = new AbortController();
export const interrupt = (): void => interruption.abort();
const isInterrupted = (): boolean => interruption.signal.aborted;

export async function pause(seconds: number): Promise<void> {
  await sleep(seconds * 1000, undefined, { signal: interruption.signal }).catch(() => {
    throw new Interrupted();
  });
}

/**
 * Asks until the answer is neither null nor false, and resolves to it. Rejects with Late, which says what was waited for, when that
 * took too long. What `ask` throws is waited out as well: the servers that it asks are being broken.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | null | false>,
  { everyMs = 50, seconds = patience } = {},
): Promise<T> {
  let problem = '';
  for (const end = performance.now() + seconds * 1000; ;) {
    const answer = await ask().catch((error: unknown) => {
      problem = `; the last answer was ${error instanceof Error ? error.message : error}`;
      return null;
    });
    if (isInterrupted()) throw new Interrupted();
    if (answer !== null && answer !== false) return answer;
    if (performance.now() > end) throw new Late(`${what}: not within ${seconds} s${problem}`);
    await pause(everyMs / 1000);
  }
}

/** Seconds since a reading of performance.now(). */
export const since = (started: number): number => (performance.now() - started) / 1000;
