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

/**
 * Things that are dear to open, by key: shared by all who hold them, kept for the next, and closed, the longest unused first, when more
 * than `keep` lie there that nobody holds.
 */
export class Shelf<T extends { close(): void }> {
  /** In the order of their last use. */
  private readonly places = new Map<string, Place<T>>();

  constructor(private readonly keep: number) {}

  get size(): number {
    return this.places.size;
  }

  /** Opens it unless it is there; rejects with what `open` throws, and the next one tries again. */
  async hold(key: string, open: () => Promise<T>): Promise<Held<T>> {
    const place = this.places.get(key) ?? { opening: open(), opened: null, holders: 0 };
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

  /** Closes all that nobody holds. */
  clear(): void {
    this.closeBeyond(0);
  }

  private tidy(): void {
    this.closeBeyond(this.keep);
  }

  private closeBeyond(keep: number): void {
    const unused = [...this.places].filter(([, { holders, opened }]) => holders === 0 && opened !== null);
    for (const [key, { opened }] of unused.slice(0, Math.max(0, unused.length - keep))) {
      this.places.delete(key);
      opened?.close();
    }
  }
}
