interface Look<T> {
  result: Promise<T>;
  /** Until when it is shared, by performance.now(). */
  until: number;
}

/** A look takes this share of the time at most, however much there is to be counted. */
const mostOfTime = 1 / 20;

/** Of each team at most one look in a while, which all who ask meanwhile share: as many streams as there are cost what one does. */
export class SharedLooks<T> {
  private readonly looks = new Map<string, Look<T>>();

  constructor(
    private readonly look: (teamId: string) => Promise<T>,
    private readonly shareMs: number,
  ) {}

  /** What the last look has seen, if that was within the while; else what a new one sees. One that fails is shared by those who wait for it, and no others. */
  of(teamId: string): Promise<T> {
    const begunAt = performance.now();
    const last = this.looks.get(teamId);
    if (last !== undefined && begunAt < last.until) return last.result;
    const look: Look<T> = { result: this.look(teamId), until: Infinity };
    this.looks.set(teamId, look);
    look.result.then(
      () => {
        const tookMs = performance.now() - begunAt;
        look.until = begunAt + Math.max(this.shareMs, tookMs / mostOfTime);
      },
      () => this.looks.delete(teamId),
    );
    return look.result;
  }
}
