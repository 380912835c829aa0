import { LowrankError, type Page, type PageQuery } from '@lowrank/contracts';
import { type PageOrder } from '../ports/datasets';

/* What the repositories in memory share. */

export interface Row {
  id: string;
  createdAt: string;
}
export type Owned = Row & { teamId: string };

/** Older before newer, and of the same time by id. */
export const byAge = (a: Row, b: Row) =>
  a.createdAt === b.createdAt ? compare(a.id, b.id) : compare(a.createdAt, b.createdAt);
export const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));

export const ofTeam = <T extends { teamId: string }>(rows: T[], teamId: string): T[] =>
  rows.filter((row) => row.teamId === teamId);

export const withoutTeam = <T extends { teamId: string }>({
  teamId: _teamId,
  ...row
}: T): Omit<T, 'teamId'> => row;
export const orNull = <T, R>(row: T | undefined, to: (row: T) => R): R | null =>
  row === undefined ? null : to(row);

/** Newest first unless it is to be otherwise, after the row that was the last of the page before, whether or not `keep` still lets it through. */
export function pageOf<T extends Owned, R>(
  rows: T[],
  { after, limit, order = 'desc' }: PageQuery & { order?: PageOrder },
  toRecord: (row: T) => R,
  keep: (row: T) => boolean = () => true,
): Page<R> {
  const last = rows.find((row) => row.id === after);
  if (after !== undefined && !last)
    throw new LowrankError('validation_failed', `There is nothing with id '${after}' to list on from.`);
  const sign = order === 'asc' ? 1 : -1;
  const rest = rows
    .filter((row) => keep(row) && (!last || sign * byAge(row, last) > 0))
    .sort((a, b) => sign * byAge(a, b));
  return { data: rest.slice(0, limit).map(toRecord), hasMore: rest.length > limit };
}

export function refuseUnless(there: boolean, what: string): void {
  if (!there) throw new LowrankError('conflict', `There is no such ${what}.`);
}

/** As libs/db stores text from outside. */
export const storable = (text: string) =>
  text.replaceAll('\0', '\uFFFD').replace(/\p{Surrogate}/gu, '\uFFFD');
