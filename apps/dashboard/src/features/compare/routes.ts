import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { shellRoute } from '../../app/shell-route';

export const compareRoutes = [
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/compare',
    /** Runs by their ids, or all trials of a sweep. */
    validateSearch: ({ jobs, sweep, state, text }): CompareSearch => ({
      jobs: Array.isArray(jobs) ? jobs.filter((one) => typeof one === 'string').slice(0, 50) : undefined,
      sweep: typeof sweep === 'string' && sweep !== '' ? sweep : undefined,
      state: typeof state === 'string' && state !== '' ? state : undefined,
      text: typeof text === 'string' && text !== '' ? text : undefined,
    }),
    component: lazyRouteComponent(() => import('./compare-page'), 'ComparePage'),
  }),
] as const;

export interface CompareSearch {
  jobs?: string[];
  sweep?: string;
  /** Filters: a state, and a text that a row has to have. */
  state?: string;
  text?: string;
}
