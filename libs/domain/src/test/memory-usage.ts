import { type Repositories } from '../ports/repositories';
import { type Tables } from './tables';

export function usageRepositoryOf(tables: Tables): Repositories['usage'] {
  const isSame = (a: Tables['tokenUsage'][number], b: Tables['tokenUsage'][number]) =>
    [a.writer, a.teamId, a.day, a.actor.type, a.actor.id, a.model].join() ===
    [b.writer, b.teamId, b.day, b.actor.type, b.actor.id, b.model].join();
  return {
    put: async (writer, counted) => {
      for (const one of counted) {
        const row = { ...one, writer };
        tables.tokenUsage = [...tables.tokenUsage.filter((other) => !isSame(other, row)), row];
      }
    },
    sum: async (teamId, { since, until }, by) => {
      const groups = new Map<string, Awaited<ReturnType<Repositories['usage']['sum']>>[number]>();
      for (const row of tables.tokenUsage) {
        if ((teamId !== null && row.teamId !== teamId) || row.day < since || row.day > until) continue;
        const group = {
          day: by.includes('day') ? row.day : null,
          actor: by.includes('actor') ? row.actor : null,
          model: by.includes('model') ? row.model : null,
          team:
            teamId === null
              ? { id: row.teamId, name: tables.teams.find(({ id }) => id === row.teamId)?.name ?? row.teamId }
              : null,
        };
        const key = JSON.stringify(group);
        const { requests, tokens } = groups.get(key) ?? {
          requests: 0,
          tokens: { prompt: 0, cached: 0, completion: 0 },
        };
        groups.set(key, {
          ...group,
          requests: requests + row.requests,
          tokens: {
            prompt: tokens.prompt + row.tokens.prompt,
            cached: tokens.cached + row.tokens.cached,
            completion: tokens.completion + row.tokens.completion,
          },
        });
      }
      return [...groups.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
    },
  };
}
