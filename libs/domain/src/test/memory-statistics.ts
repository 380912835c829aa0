import { type Repositories } from '../ports/repositories';
import { compare } from './rows';
import { type Tables } from './tables';

function countsOf<T>(values: T[]): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

export const statisticsOf = (tables: Tables): Repositories['statistics'] => ({
  jobsByState: async () =>
    [...countsOf(tables.jobs.map(({ state }) => state))].map(([state, count]) => ({ state, count })),
  queuedByDeviceClass: async () => {
    const queued = tables.jobs.filter(({ state }) => state === 'queued');
    const classes = queued.flatMap(({ placement }): (string | null)[] => placement.deviceClasses ?? [null]);
    return [...countsOf(classes)]
      .map(([deviceClass, count]) => ({ deviceClass, count }))
      .sort((a, b) => compare(a.deviceClass ?? '', b.deviceClass ?? ''));
  },
  outbox: async () => ({
    entries: tables.outbox.length,
    oldestAt: tables.outbox.map(({ at }) => at).sort(compare)[0] ?? null,
  }),
});
