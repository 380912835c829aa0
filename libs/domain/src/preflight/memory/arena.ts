/** Bytes of one buffer: the kernel library starts each at a multiple of 64. */
export const aligned = (bytes: number): number => Math.ceil(bytes / 64) * 64;
export const floatBytes = (count: number): number => aligned(4 * count);

/** Adds up the buffers of a plan, as the kernel library's model/arena.h does for the sizes alone. */
export class Arena {
  private used = 0;
  private highest = 0;

  floats(count: number): void {
    this.take(4 * count);
  }
  take(bytes: number): void {
    this.used += aligned(bytes);
    this.highest = Math.max(this.highest, this.used);
  }
  /** Bytes taken after mark() can be given out again: for parts that do not live at the same time. */
  mark(): number {
    return this.used;
  }
  rewind(mark: number): void {
    this.used = mark;
  }
  /** Most bytes that were in use at one time. */
  get peak(): number {
    return this.highest;
  }
}

/** Bytes that `plan` takes of an arena. */
export function planned(plan: (arena: Arena) => void): number {
  const arena = new Arena();
  plan(arena);
  return arena.peak;
}
