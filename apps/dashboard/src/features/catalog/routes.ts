import { type AdapterMethod, type AdapterSort } from '@lowrank/contracts';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { shellRoute } from '../../app/shell-route';
import { defined, textOf, wordOf } from '../../lib/search';

export const sorts = ['updated', 'created', 'name', 'loss', 'accuracy'] as const satisfies AdapterSort[];
export const methods = ['lora', 'rslora', 'dora', 'pissa'] as const satisfies AdapterMethod[];
export const objectives = ['sft', 'dpo', 'orpo'] as const;

export interface CatalogSearch {
  q?: string;
  tag?: string;
  baseModel?: string;
  method?: (typeof methods)[number];
  objective?: (typeof objectives)[number];
  sort?: (typeof sorts)[number];
  deleted?: true;
}

export const views = ['versions', 'evaluations', 'lineage', 'card', 'use', 'access'] as const;
export type AdapterView = (typeof views)[number];

export interface AdapterSearch {
  /** Whose it is; absent: your team's. */
  team?: string;
  view?: AdapterView;
  /** The version that is looked at, such as `v3` or `prod`; absent: the newest. */
  version?: string;
  /** The version that it is compared with, such as `v2`. */
  against?: string;
}

export const catalogRoutes = [
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/catalog',
    validateSearch: (search): CatalogSearch =>
      defined({
        q: textOf(search.q),
        tag: textOf(search.tag),
        baseModel: textOf(search.baseModel),
        method: wordOf(search.method, methods),
        objective: wordOf(search.objective, objectives),
        sort: wordOf(search.sort, sorts),
        deleted: search.deleted === true ? (true as const) : undefined,
      }),
    component: lazyRouteComponent(() => import('./catalog-page'), 'CatalogPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/catalog/$name',
    validateSearch: (search): AdapterSearch =>
      defined({
        team: textOf(search.team),
        view: wordOf(search.view, views),
        version: textOf(search.version),
        against: textOf(search.against),
      }),
    component: lazyRouteComponent(() => import('./adapter-page'), 'AdapterPage'),
  }),
] as const;
