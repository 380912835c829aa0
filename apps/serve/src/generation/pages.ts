/** Which pages of a cache are free. */
export class Pages {
  private readonly free: number[];

  constructor(count: number) {
    this.free = Array.from({ length: count }, (_, i) => count - 1 - i);
  }

  get left(): number {
    return this.free.length;
  }

  /** Takes so many, or none where there are not enough. */
  take(count: number): number[] | null {
    if (count > this.free.length) return null;
    return this.free.splice(this.free.length - count, count);
  }

  give(pages: readonly number[]): void {
    this.free.push(...pages);
  }
}
