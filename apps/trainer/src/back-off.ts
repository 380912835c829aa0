import { setTimeout as sleep } from 'node:timers/promises';

const firstMs = 500;
const longestMs = 30_000;

/** Time between tries of something that fails: doubles up to half a minute, less a part by chance, so that many do not move as one. */
export class BackOff {
  #next = firstMs;

  reset(): void {
    this.#next = firstMs;
  }

  /** Milliseconds to wait before the next try. */
  next(): number {
    const ms = this.#next * (0.5 + Math.random() / 2);
    this.#next = Math.min(2 * this.#next, longestMs);
    return ms;
  }
}

/** A sleep that an abort ends without an error. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
