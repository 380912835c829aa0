import { createRouter } from '@tanstack/react-router';
import { NotFoundState, PagePending, RouteErrorState } from '../components/states';
import { accountRoutes, resetPasswordRoute } from '../features/account/routes';
import { adminRoutes } from '../features/admin/routes';
import { catalogRoutes } from '../features/catalog/routes';
import { chatRoutes } from '../features/chat/routes';
import { compareRoutes } from '../features/compare/routes';
import { datasetRoutes } from '../features/datasets/routes';
import { jobsRoutes } from '../features/jobs/routes';
import { joinRoute } from '../features/join/routes';
import { overviewRoutes } from '../features/overview/routes';
import { signInRoute } from '../features/sign-in/routes';
import { rootRoute, shellRoute } from './shell-route';

/** Every page. A feature's routes are listed here by name, so that links to them are checked by their types. */
const routeTree = rootRoute.addChildren([
  signInRoute,
  joinRoute,
  resetPasswordRoute,
  shellRoute.addChildren([
    ...overviewRoutes,
    ...jobsRoutes,
    ...compareRoutes,
    ...datasetRoutes,
    ...catalogRoutes,
    ...chatRoutes,
    ...accountRoutes,
    ...adminRoutes,
  ]),
]);

export const router = createRouter({
  routeTree,
  defaultPreload: 'intent',
  scrollRestoration: true,
  defaultPendingComponent: PagePending,
  defaultPendingMs: 150,
  defaultErrorComponent: RouteErrorState,
  defaultNotFoundComponent: NotFoundState,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
