import { type JobState, jobStates } from '@lowrank/contracts';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { shellRoute } from '../../app/shell-route';
import { wordOf } from '../../lib/search';

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
const texts = (value: unknown): string[] | undefined => {
  const list = Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
  return list.length > 0 ? list : undefined;
};

export const runTabs = ['curves', 'checkpoints', 'logs', 'history', 'recipe', 'samples'] as const;
export type RunTab = (typeof runTabs)[number];

export const jobsRoutes = [
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/jobs',
    validateSearch: ({ state, adapter }): { state?: JobState; adapter?: string } => ({
      state: wordOf(state, jobStates),
      adapter: text(adapter),
    }),
    component: lazyRouteComponent(() => import('./jobs-page'), 'JobsPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/jobs/new',
    /** `from`: a job to clone; `base`, `dataset`, `initFrom`: what is chosen already. */
    validateSearch: (search): { from?: string; base?: string; dataset?: string; initFrom?: string } => ({
      from: text(search.from),
      base: text(search.base),
      dataset: text(search.dataset),
      initFrom: text(search.initFrom),
    }),
    component: lazyRouteComponent(() => import('../new-job/new-job-page'), 'NewJobPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/jobs/$id',
    /** `with`: other runs whose curves are laid over these. */
    validateSearch: (
      search,
    ): { tab?: RunTab; smooth?: number; log?: boolean; with?: string[]; diff?: string } => ({
      tab: runTabs.find((tab) => tab === search.tab),
      smooth:
        typeof search.smooth === 'number' && search.smooth >= 0 && search.smooth < 1
          ? search.smooth
          : undefined,
      log: search.log === true ? true : undefined,
      with: texts(search.with),
      diff: text(search.diff),
    }),
    component: lazyRouteComponent(() => import('./run-page'), 'RunPage'),
  }),
] as const;
