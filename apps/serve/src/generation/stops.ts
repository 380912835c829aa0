/**
 * Text that comes in pieces, up to the first of some stop strings. What may be the beginning of one is held back until more has come.
 */
export class StopFilter {
  private held = '';
  private found = false;

  constructor(private readonly stops: readonly string[]) {}

  /** Whether a stop string has come: nothing after it is passed on. */
  get stopped(): boolean {
    return this.found;
  }

  /** The text that may be shown now. */
  push(piece: string): string {
    if (this.found) return '';
    const text = this.held + piece;
    const ends = this.stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (ends.length > 0) {
      this.found = true;
      this.held = '';
      return text.slice(0, Math.min(...ends));
    }
    const kept = Math.max(0, ...this.stops.map((stop) => overlap(text, stop)));
    this.held = text.slice(text.length - kept);
    return text.slice(0, text.length - kept);
  }

  /** What was held back, when no more comes. */
  end(): string {
    const rest = this.held;
    this.held = '';
    return rest;
  }
}

/** Length of the longest end of `text` that `stop` begins with, shorter than it. */
export function overlap(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length -= 1)
    if (stop.startsWith(text.slice(text.length - length))) return length;
  return 0;
}
