import { type Actor, type UsageRow } from '@lowrank/contracts';
import { type UsageRepository } from '@lowrank/domain';
import { type Tx, storableText } from '../values';

const midnight = (day: string): Date => new Date(`${day}T00:00:00Z`);
const columns = { day: ['day'], actor: ['actorType', 'actorId', 'actorName'], model: ['model'] } as const;
type Column = 'teamId' | (typeof columns)[keyof typeof columns][number];
type Group = Partial<Record<Exclude<Column, 'day'>, string>> & { day?: Date };

export const usageRepository = (db: Tx): UsageRepository => ({
  async put(writer, counted) {
    for (const { teamId, day, actor, model, requests, tokens } of counted) {
      const key = { teamId, day: midnight(day), actorType: actor.type, actorId: actor.id, model, writer };
      const sums = {
        actorName: storableText(actor.name),
        requests,
        promptTokens: tokens.prompt,
        cachedTokens: tokens.cached,
        completionTokens: tokens.completion,
      };
      await db.completionUsage.upsert({
        where: { teamId_day_actorType_actorId_model_writer: key },
        create: { ...key, ...sums },
        update: sums,
        select: { teamId: true },
      });
    }
  },

  async sum(teamId, { since, until }, by) {
    const apart: Column[] = [
      ...(teamId === null ? ['teamId' as const] : []),
      ...by.flatMap((one) => columns[one]),
    ];
    const groups: unknown = await db.completionUsage.groupBy({
      by: apart,
      where: { ...(teamId === null ? {} : { teamId }), day: { gte: midnight(since), lte: midnight(until) } },
      _sum: { requests: true, promptTokens: true, cachedTokens: true, completionTokens: true },
    });
    const rows = groups as (Group & { _sum: Record<string, bigint | null> })[];
    const ids = [...new Set(rows.flatMap(({ teamId: id }) => id ?? []))];
    const teams =
      ids.length === 0
        ? []
        : await db.team.findMany({ where: { id: { in: ids } }, select: { id: true, name: true } });
    const names = new Map(teams.map(({ id, name }) => [id, name]));
    return rows.map<UsageRow>(
      ({ _sum: sum, teamId: id, day, actorType, actorId = '', actorName = '', model = null }) => ({
        day: day?.toISOString().slice(0, 10) ?? null,
        actor:
          actorType === undefined ? null : { type: actorType as Actor['type'], id: actorId, name: actorName },
        model,
        team: id === undefined ? null : { id, name: names.get(id) ?? id },
        requests: Number(sum['requests']),
        tokens: {
          prompt: Number(sum['promptTokens']),
          cached: Number(sum['cachedTokens']),
          completion: Number(sum['completionTokens']),
        },
      }),
    );
  },
});
