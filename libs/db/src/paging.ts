import { LowrankError, type Page, type PageQuery } from '@lowrank/contracts';
import { type PageOrder } from '@lowrank/domain';

/** What places a row in a list. */
interface Placed {
  id: string;
  createdAt: Date;
}
export const placed = { id: true, createdAt: true } as const;

/** The part of a Prisma query that all lists share: in order of time, one row more than the page, from the last page's row on. */
export interface Window {
  orderBy: [{ createdAt: PageOrder }, { id: PageOrder }];
  take: number;
}
/** The rows after the last page's; part of `where`. */
export interface Beyond {
  createdAt?: Bound<Date, 'lte' | 'gte'>;
  OR?: [{ createdAt: Bound<Date, 'lt' | 'gt'> }, { id: Bound<string, 'lt' | 'gt'> }];
}
type Bound<T, Side extends string> = Partial<Record<Side, T>>;

/**
 * Reads one page, newest first unless `order` says otherwise. `find` gets the row that `after` names, whether or not the list's filter still lets it through: a job moves on
 * between two pages. Prisma's own cursor would then leave out a row, and would take a cursor of another team.
 * Error: validation_failed when `after` names nothing in the list, as after its deletion.
 */
export async function readPage<Row extends Placed, T>(
  { after, limit, order = 'desc' }: PageQuery & { order?: PageOrder },
  find: (id: string) => Promise<Placed | null>,
  read: (beyond: Beyond, window: Window) => Promise<Row[]>,
  toRecord: (row: Row) => T,
): Promise<Page<T>> {
  const last = after === undefined ? undefined : await find(after);
  if (last === null)
    throw new LowrankError('validation_failed', `There is nothing with id '${after}' to list on from.`, [
      { path: 'after', message: 'is not in this list; start again without it' },
    ]);
  const beyond = last ? beyondOf(last, order) : {};
  const rows = await read(beyond, { orderBy: [{ createdAt: order }, { id: order }], take: limit + 1 });
  return { data: rows.slice(0, limit).map(toRecord), hasMore: rows.length > limit };
}

const beyondOf = ({ createdAt, id }: Placed, order: PageOrder): Beyond =>
  order === 'desc'
    ? { createdAt: { lte: createdAt }, OR: [{ createdAt: { lt: createdAt } }, { id: { lt: id } }] }
    : { createdAt: { gte: createdAt }, OR: [{ createdAt: { gt: createdAt } }, { id: { gt: id } }] };
