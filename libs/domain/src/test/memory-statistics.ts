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
  finishedRuns: async ({ deviceClasses, baseModelId, limit }) => {
    const runs = tables.jobs.flatMap(({ id, state, deviceClass, baseModel, estimate, finishedAt }) => {
      const metrics = tables.versions.find((version) => version.jobId === id)?.metrics;
      const operations = estimate?.operations ?? 0;
      if (state !== 'succeeded' || deviceClass === null || metrics === undefined || operations === 0)
        return [];
      const { trainedTokens: tokens, seconds } = metrics;
      return [{ id, deviceClass, baseModelId: baseModel.id, operations, tokens, seconds, finishedAt }];
    });
    runs.sort((a, b) => compare(b.finishedAt ?? '', a.finishedAt ?? ''));
    const chosen = deviceClasses.flatMap((deviceClass) => {
      const own = runs.filter((run) => run.deviceClass === deviceClass);
      return [
        ...own.slice(0, limit),
        ...own.filter((run) => run.baseModelId === baseModelId).slice(0, limit),
      ];
    });
    return [...new Set(chosen)]
      .sort((a, b) => compare(a.id, b.id))
      .map(({ id: _id, finishedAt: _at, ...run }) => run);
  },
  outbox: async () => ({
    entries: tables.outbox.length,
    oldestAt: tables.outbox.map(({ at }) => at).sort(compare)[0] ?? null,
  }),
});
