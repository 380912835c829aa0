import { LowrankError, type Page, type PageQuery } from '@lowrank/contracts';

/** The part of a Prisma query that all lists share: newest first, one row more than the page, from the last page's id on. */
export interface Window {
  orderBy: [{ createdAt: 'desc' }, { id: 'desc' }];
  take: number;
  cursor?: { id: string };
  skip?: number;
}

/**
 * Reads one page. `isThere` counts rows of an id and is asked only when nothing follows `after`.
 * Error: validation_failed when `after` names nothing in the list, as after its deletion.
 */
export async function readPage<Row, T>(
  { after, limit }: PageQuery,
  read: (window: Window) => Promise<Row[]>,
  isThere: (id: string) => Promise<number>,
  toRecord: (row: Row) => T,
): Promise<Page<T>> {
  const rows = await read({
    orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
    take: limit + 1,
    ...(after === undefined ? {} : { cursor: { id: after }, skip: 1 }),
  });
  if (rows.length === 0 && after !== undefined && (await isThere(after)) === 0)
    throw new LowrankError('validation_failed', `There is nothing with id '${after}' to list on from.`, [
      { path: 'after', message: 'is not in this list; start again without it' },
    ]);
  return { data: rows.slice(0, limit).map(toRecord), hasMore: rows.length > limit };
}
