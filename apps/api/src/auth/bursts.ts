/** A caller who was idle may send as much as this many seconds bring, at once. */
const burstSeconds = 10;
const maxBuckets = 10_000;

/**
 * A bucket of tokens for each caller, in the memory of this process: a request takes one, and so many come back every second, up to ten
 * seconds' worth. What nobody has asked for in a while costs nothing: buckets are filled when they are looked at.
 */
export class Bursts {
  private readonly buckets = new Map<string, { tokens: number; at: number }>();
  private readonly most: number;

  constructor(
    private readonly perSecond: number,
    /** Milliseconds on a clock that never goes back. */
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.most = Math.max(1, burstSeconds * perSecond);
  }

  /** Takes a token of somebody's: 0, or where there is none the milliseconds until there is. */
  take(who: string): number {
    const now = this.clock();
    const bucket = this.buckets.get(who) ?? this.add(who, now);
    const refilled = ((now - bucket.at) / 1000) * this.perSecond;
    bucket.tokens = Math.min(this.most, bucket.tokens + refilled);
    bucket.at = now;
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) / this.perSecond) * 1000);
    bucket.tokens -= 1;
    return 0;
  }

  private add(who: string, at: number) {
    // So many callers at once are no burst of one; they begin anew.
    if (this.buckets.size >= maxBuckets) this.buckets.clear();
    const bucket = { tokens: this.most, at };
    this.buckets.set(who, bucket);
    return bucket;
  }
}

/** Of whoever has a key or a session, and of addresses whose keys are wrong. */
export interface Limits {
  callers: Bursts;
  strangers: Bursts;
}

/** Wrong keys are looked up in the database, each of them, and nobody needs many. */
const strangersShare = 0.1;

/** `perSecond`: requests that a caller may send for long; null: no limits. */
export const limitsOf = (perSecond: number | null): Limits | null =>
  perSecond === null
    ? null
    : { callers: new Bursts(perSecond), strangers: new Bursts(perSecond * strangersShare) };
