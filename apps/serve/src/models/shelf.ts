/** A thing and how to give it back. */
export interface Held<T> {
  value: T;
  /** Once. */
  release(): void;
}

interface Place<T> {
  opening: Promise<T>;
  opened: T | null;
  holders: number;
}

export interface ShelfOptions {
  /** How many may lie there that nobody holds. */
  keep: number;
  /** Whether memory is short, so that what nobody holds is to go though it is not too many. Asked again after each that went. */
  isFull?: () => boolean;
}

/**
 * Things that are dear to open, by key: shared by all who hold them, kept for the next, and closed, the longest unused first, when more
 * than `keep` lie there that nobody holds, or when memory is short.
 */
export class Shelf<T extends { close(): void }> {
  /** In the order of their last use. */
  private readonly places = new Map<string, Place<T>>();
  private openings = 0;
  private evictions = 0;

  constructor(private readonly options: ShelfOptions) {}

  get size(): number {
    return this.values().length;
  }

  /** Whether something is being opened. */
  get opening(): boolean {
    return [...this.places.values()].some(({ opened }) => opened === null);
  }

  /** Since it began: what was opened, and what was closed to make room. */
  get counts(): { opened: number; evicted: number } {
    return { opened: this.openings, evicted: this.evictions };
  }

  /** What is open. */
  values(): T[] {
    return [...this.places.values()].flatMap(({ opened }) => (opened === null ? [] : [opened]));
  }

  /** What is open and held by somebody. */
  held(): T[] {
    return [...this.places.values()].flatMap(({ opened, holders }) =>
      opened === null || holders === 0 ? [] : [opened],
    );
  }

  /** Opens it unless it is there; rejects with what `open` throws, and the next one tries again. */
  async hold(key: string, open: () => Promise<T>): Promise<Held<T>> {
    const known = this.places.get(key);
    // What nobody holds goes before more comes.
    if (known === undefined) this.tidy();
    const place = known ?? { opening: open(), opened: null, holders: 0 };
    if (known === undefined) this.openings += 1;
    this.places.delete(key);
    this.places.set(key, place);
    place.holders += 1;
    try {
      place.opened = await place.opening;
    } catch (error) {
      if (this.places.get(key) === place) this.places.delete(key);
      throw error;
    }
    const value = place.opened;
    const release = () => {
      place.holders -= 1;
      this.tidy();
    };
    return { value, release };
  }

  /** Whether it is open. */
  has(key: string): boolean {
    return (this.places.get(key)?.opened ?? null) !== null;
  }

  /** Closes all that nobody holds. */
  clear(): void {
    for (const key of this.unused()) this.close(key);
  }

  /** Closes what is too many. */
  tidy(): void {
    const { keep, isFull = () => false } = this.options;
    const unused = this.unused();
    while (unused.length > keep || (unused.length > 0 && isFull())) {
      this.close(unused.shift() as string);
      this.evictions += 1;
    }
  }

  /** The longest unused first. */
  private unused(): string[] {
    const places = [...this.places].filter(([, { holders, opened }]) => holders === 0 && opened !== null);
    return places.map(([key]) => key);
  }

  private close(key: string): void {
    const place = this.places.get(key);
    this.places.delete(key);
    place?.opened?.close();
  }
}
