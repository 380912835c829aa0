import { type Clock } from './ports/clock';

/** What this machine's clock may be off by before it is corrected: far below every limit that is compared with times of other machines. */
const toleranceMs = 250;

/**
 * One clock for all machines: this machine's, moved to Postgres' where they differ. Heartbeats of one machine are judged on another,
 * and a worker whose clock is a minute slow would be taken for dead.
 */
export class SharedClock implements Clock {
  private aheadMs = 0;

  /** `ask` resolves to Postgres' time, ISO 8601; `local` to this machine's, in milliseconds since 1970. */
  constructor(
    private readonly ask: () => Promise<string>,
    private readonly local: () => number = Date.now,
  ) {}

  now(): string {
    return new Date(this.local() + this.aheadMs).toISOString();
  }

  /** Compares the clocks; rejects as `ask` does. Off by half a round trip at most, so an answer slower than the tolerance is not used. */
  async adjust(): Promise<void> {
    const asked = this.local();
    const there = Date.parse(await this.ask());
    const answered = this.local();
    if (Math.abs(answered - asked) > toleranceMs) return;
    const ahead = there - (asked + answered) / 2;
    if (Math.abs(ahead - this.aheadMs) > toleranceMs) this.aheadMs = Math.round(ahead);
  }
}
