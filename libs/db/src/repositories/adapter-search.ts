import {
  type AdapterQuery,
  type AdapterSort,
  LowrankError,
  type PageQuery,
  wordsOf,
} from '@lowrank/contracts';
import { Prisma } from '../generated/client';
import { type Tx } from '../values';

/** `%`, `_` and `\` stand for something in LIKE; here they stand for themselves. */
const containing = (text: string): string => `%${text.replace(/[\\%_]/g, '\\$&')}%`;

/** What a list is sorted by, and which end comes first. Adapters without a metric come last, whichever it is. */
const orders: Record<AdapterSort, { key: Prisma.Sql; direction: 'ASC' | 'DESC' }> = {
  created: { key: Prisma.sql`a.created_at`, direction: 'DESC' },
  updated: { key: Prisma.sql`a.updated_at`, direction: 'DESC' },
  name: { key: Prisma.sql`a.name COLLATE "C"`, direction: 'ASC' },
  loss: {
    key: Prisma.sql`coalesce((v.metrics ->> 'evalLossAfter')::float8, 'Infinity')`,
    direction: 'ASC',
  },
  accuracy: {
    key: Prisma.sql`coalesce((v.metrics ->> 'evalAccuracyAfter')::float8, '-Infinity')`,
    direction: 'DESC',
  },
};

/** As methodOf of libs/contracts. */
const method = Prisma.sql`CASE
  WHEN (v.recipe -> 'lora' ->> 'dora')::boolean THEN 'dora'
  WHEN v.recipe -> 'lora' ->> 'init' = 'pissa' THEN 'pissa'
  WHEN (v.recipe -> 'lora' ->> 'rsLora')::boolean THEN 'rslora'
  WHEN v.id IS NOT NULL THEN 'lora'
END`;

function* conditionsOf(teamId: string, query: Partial<AdapterQuery>): Generator<Prisma.Sql> {
  const { query: part, q, baseModel, owner, tag, objective, maxLoss, minAccuracy } = query;
  if (part) yield Prisma.sql`a.name LIKE ${containing(part.toLowerCase())}`;
  for (const word of wordsOf(q ?? ''))
    yield Prisma.sql`concat_ws(E'\n', a.name, a.description, a.tags::text, a.card) ILIKE ${containing(word)}`;
  if (baseModel !== undefined) yield Prisma.sql`a.base_model = ${baseModel}`;
  // Who made another team's is theirs to know.
  if (owner !== undefined)
    // What a member's own key has made, the member has made.
    yield Prisma.sql`a.team_id = ${teamId} AND (${owner} IN (a.created_by ->> 'id', a.created_by ->> 'name')
      OR a.created_by ->> 'id' IN (SELECT k.id FROM api_keys k JOIN users u ON u.id = k.member_id
        WHERE k.team_id = ${teamId} AND ${owner} IN (u.id, u.name)))`;
  if (tag !== undefined) yield Prisma.sql`a.tags @> to_jsonb(${tag}::text)`;
  if (objective !== undefined) yield Prisma.sql`v.recipe -> 'objective' ->> 'type' = ${objective}`;
  if (query.method !== undefined) yield Prisma.sql`${method} = ${query.method}`;
  if (maxLoss !== undefined) yield Prisma.sql`(v.metrics ->> 'evalLossAfter')::float8 <= ${maxLoss}::float8`;
  if (minAccuracy !== undefined)
    yield Prisma.sql`(v.metrics ->> 'evalAccuracyAfter')::float8 >= ${minAccuracy}::float8`;
}

/**
 * Ids of a page of a team's adapters, and those that it is let read, in order. The page goes on after the adapter that `after` names, where that stands now, whether or not
 * it still is one of those that are looked for.
 *
 * Text has no index: row-level security lets only operators be answered by one that leak nothing of other teams' rows, and LIKE, @> and
 * @@ are none of those. A team's adapters are found by its index, and read.
 */
export async function findAdapters(
  db: Tx,
  teamId: string,
  { after, limit, sort = 'created', ...query }: PageQuery & Partial<AdapterQuery>,
): Promise<{ ids: string[]; hasMore: boolean }> {
  const { key, direction } = orders[sort];
  const from = Prisma.sql`adapters a LEFT JOIN adapter_versions v ON v.adapter_id = a.id AND v.number = a.latest_version`;
  const state = query.deleted ? Prisma.sql`a.deleted_at IS NOT NULL` : Prisma.sql`a.deleted_at IS NULL`;
  // What others have deleted is theirs to restore.
  const granted = query.deleted
    ? Prisma.empty
    : Prisma.sql`OR a.id IN (SELECT adapter_id FROM grants WHERE to_team_id = ${teamId})`;
  const there = Prisma.sql`(a.team_id = ${teamId} ${granted})`;
  const conditions = [there, state, ...conditionsOf(teamId, query)];
  if (after !== undefined) {
    const owners = [{ teamId }, { grants: { some: { toTeamId: teamId } } }];
    if ((await db.adapter.count({ where: { OR: owners, id: after } })) === 0)
      throw new LowrankError('validation_failed', `There is nothing with id '${after}' to list on from.`, [
        { path: 'after', message: 'is not in this list; start again without it' },
      ]);
    const last = Prisma.sql`(SELECT ${key} FROM ${from} WHERE a.id = ${after})`;
    const beyond = direction === 'ASC' ? Prisma.sql`>` : Prisma.sql`<`;
    conditions.push(Prisma.sql`(${key}, a.id) ${beyond} (${last}, ${after})`);
  }
  const way = direction === 'ASC' ? Prisma.sql`ASC` : Prisma.sql`DESC`;
  const rows = await db.$queryRaw<{ id: string }[]>`
    SELECT a.id FROM ${from} WHERE ${Prisma.join(conditions, ' AND ')}
    ORDER BY ${key} ${way}, a.id ${way} LIMIT ${limit + 1}`;
  return { ids: rows.slice(0, limit).map(({ id }) => id), hasMore: rows.length > limit };
}
