import { LowrankError, type Page, type PageQuery } from '@lowrank/contracts';

/** What places a row in a list. */
interface Placed {
  id: string;
  createdAt: Date;
}
export const placed = { id: true, createdAt: true } as const;

/** The part of a Prisma query that all lists share: newest first, one row more than the page, from the last page's row on. */
export interface Window {
  orderBy: [{ createdAt: 'desc' }, { id: 'desc' }];
  take: number;
}
/** The rows after the last page's; part of `where`. */
export interface Older {
  createdAt?: { lte: Date };
  OR?: [{ createdAt: { lt: Date } }, { id: { lt: string } }];
}

/**
 * Reads one page. `find` gets the row that `after` names, whether or not the list's filter still lets it through: a job moves on
 * between two pages. Prisma's own cursor would then leave out a row, and would take a cursor of another team.
 * Error: validation_failed when `after` names nothing in the list, as after its deletion.
 */
export async function readPage<Row extends Placed, T>(
  { after, limit }: PageQuery,
  find: (id: string) => Promise<Placed | null>,
  read: (older: Older, window: Window) => Promise<Row[]>,
  toRecord: (row: Row) => T,
): Promise<Page<T>> {
  const last = after === undefined ? undefined : await find(after);
  if (last === null)
    throw new LowrankError('validation_failed', `There is nothing with id '${after}' to list on from.`, [
      { path: 'after', message: 'is not in this list; start again without it' },
    ]);
  const older: Older = last
    ? {
        createdAt: { lte: last.createdAt },
        OR: [{ createdAt: { lt: last.createdAt } }, { id: { lt: last.id } }],
      }
    : {};
  const rows = await read(older, { orderBy: [{ createdAt: 'desc' }, { id: 'desc' }], take: limit + 1 });
  return { data: rows.slice(0, limit).map(toRecord), hasMore: rows.length > limit };
}
