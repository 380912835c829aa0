import { LowrankError } from '@lowrank/contracts';

/** A page of a list, as OpenAI's clients read it. */
export const pageView = <T>(data: T[], hasMore: boolean) => ({
  object: 'list' as const,
  data,
  has_more: hasMore,
});

/** One page of a list that is here whole. Error: validation_failed when `after` is not in it. */
export function pageOf<T extends { id: string }>(
  all: T[],
  { after, limit }: { after?: string | undefined; limit: number },
) {
  const last = after === undefined ? -1 : all.findIndex(({ id }) => id === after);
  if (after !== undefined && last < 0) throw notInList(after);
  const rest = all.slice(last + 1);
  return pageView(rest.slice(0, limit), rest.length > limit);
}

export const notInList = (after: string): LowrankError =>
  new LowrankError('validation_failed', `There is nothing with id '${after}' to list on from.`, [
    { path: 'after', message: 'is not in this list; start again without it' },
  ]);
