import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { shellRoute } from '../../app/shell-route';
import { defined, textOf } from '../../lib/search';

export const datasetRoutes = [
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/datasets',
    /** `name`: only the versions of this name. */
    validateSearch: (search): { name?: string } => defined({ name: textOf(search.name) }),
    component: lazyRouteComponent(() => import('./datasets-page'), 'DatasetsPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/datasets/$id',
    /** `base`: the base model whose tokenizer counts and whose template renders; `against`: another dataset whose rows should not be here. */
    validateSearch: (search): { base?: string; against?: string } =>
      defined({ base: textOf(search.base), against: textOf(search.against) }),
    component: lazyRouteComponent(() => import('./dataset-page'), 'DatasetPage'),
  }),
] as const;
