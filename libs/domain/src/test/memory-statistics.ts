import { type Repositories } from '../ports/repositories';
import { isHeld } from '../state-machine';
import { compare } from './rows';
import { type Tables } from './tables';

function countsOf<T>(values: T[]): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

const isOf =
  (teamId?: string) =>
  (row: { teamId: string }): boolean =>
    teamId === undefined || row.teamId === teamId;

export const statisticsOf = (tables: Tables): Repositories['statistics'] => ({
  jobsByState: async (teamId) =>
    [...countsOf(tables.jobs.filter(isOf(teamId)).map(({ state }) => state))].map(([state, count]) => ({
      state,
      count,
    })),
  queuedByDeviceClass: async ({ teamId, startableAt }) => {
    const mayStart = ({ notBefore }: { notBefore: string | null }) =>
      startableAt === undefined || notBefore === null || notBefore <= startableAt;
    const queued = tables.jobs.filter(isOf(teamId)).filter((job) => job.state === 'queued' && mayStart(job));
    const classes = queued.flatMap(({ placement }): (string | null)[] => placement.deviceClasses ?? [null]);
    return [...countsOf(classes)]
      .map(([deviceClass, count]) => ({ deviceClass, count }))
      .sort((a, b) => compare(a.deviceClass ?? '', b.deviceClass ?? ''));
  },
  jobsUse: async ({ monthStart, teamId }) => {
    const jobs = tables.jobs
      .filter(isOf(teamId))
      .filter(({ finishedAt }) => finishedAt === null || finishedAt >= monthStart);
    return [...new Set(jobs.map((job) => job.teamId))].sort(compare).map((id) => {
      const own = jobs.filter((job) => job.teamId === id);
      return {
        teamId: id,
        trainedTokens: own.reduce((sum, { trainedTokens }) => sum + trainedTokens, 0),
        running: own.filter(({ state }) => isHeld(state)).length,
        queued: own.filter(({ state }) => state === 'queued').length,
      };
    });
  },
  queue: async ({ after, limit }) => {
    const all = [...tables.jobs].sort((a, b) => compare(a.queuedAt, b.queuedAt) || compare(a.id, b.id));
    const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
    const queued = all.slice(from).filter(({ state }) => state === 'queued');
    return queued.slice(0, limit).map((job) => ({
      ...{ id: job.id, priority: job.priority, placement: job.placement, epoch: job.epoch },
      team: { id: job.teamId, name: tables.teams.find(({ id }) => id === job.teamId)?.name ?? '' },
      ...{ estimatedBytes: job.estimatedBytes, queuedAt: job.queuedAt, notBefore: job.notBefore },
      ...{ assignedTo: job.assignedTo, waitingFor: job.assignedTo === null ? job.waitingFor : null },
    }));
  },
  database: async () => ({ version: 'memory', bytes: 0 }),
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
