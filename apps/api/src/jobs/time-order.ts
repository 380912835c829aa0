interface Timed {
  data: { at: string };
}

/** Some rows of one kind in their own order; not whole when there are more behind them. */
export interface TimedList<T extends Timed> {
  items: readonly T[];
  isWhole: boolean;
}

/**
 * The items of several lists in order of their times, each list's own order kept whatever its times are. Ends where a list runs out
 * that is not whole: what it has yet to give might belong before the rest.
 */
export function* inOrderOfTime<T extends Timed>(lists: readonly TimedList<T>[]): Generator<T> {
  const at = lists.map(() => 0);
  for (;;) {
    let next: { list: number; item: T } | null = null;
    for (const [list, { items, isWhole }] of lists.entries()) {
      const item = items[at[list] ?? 0];
      if (item === undefined && !isWhole) return;
      if (item !== undefined && (next === null || item.data.at < next.item.data.at)) next = { list, item };
    }
    if (next === null) return;
    at[next.list] = (at[next.list] ?? 0) + 1;
    yield next.item;
  }
}
