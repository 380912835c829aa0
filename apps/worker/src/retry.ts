import { LowrankError } from '@lowrank/contracts';
import { setTimeout as sleep } from 'node:timers/promises';

const firstPauseMs = 100;
const longestPauseMs = 5000;

/** Whether trying again may help: everything but a refusal, which stays a refusal. */
export const isTransient = (error: unknown): boolean =>
  !(error instanceof LowrankError) || error.code === 'store_unavailable';

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Between 75% and 125%, so that many workers do not move as one. */
export const jittered = (ms: number): number => ms * (0.75 + Math.random() / 2);

/** Pauses that double from 100 ms to 5 s, each shortened by chance by up to a half, so that many waiters do not move as one. */
export class BackOff {
  private next = firstPauseMs;

  reset(): void {
    this.next = firstPauseMs;
  }

  /** Resolves at once when the signal is, or gets, aborted. */
  async pause(signal?: AbortSignal): Promise<void> {
    const ms = this.next * (0.5 + Math.random() / 2);
    this.next = Math.min(2 * this.next, longestPauseMs);
    await pause(ms, signal);
  }
}

/** A sleep that an abort ends without an error. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

/** Does `work`, again after transient failures until `patienceMs` have passed; then, or on a refusal, rejects with its error. */
export async function persistently<T>(
  work: () => Promise<T>,
  patienceMs: number,
  onRetry: (error: unknown) => void,
): Promise<T> {
  const giveUpAt = Date.now() + patienceMs;
  const backOff = new BackOff();
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isTransient(error) || Date.now() > giveUpAt) throw error;
      onRetry(error);
      await backOff.pause();
    }
  }
}
