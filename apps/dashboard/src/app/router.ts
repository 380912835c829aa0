import { createRouter } from '@tanstack/react-router';
import { NotFoundState, PagePending, RouteErrorState } from '../components/states';
import { overviewRoutes } from '../features/overview/routes';
import { signInRoute } from '../features/sign-in/routes';
import { rootRoute, shellRoute } from './shell-route';

/** Every page. A feature's routes are listed here by name, so that links to them are checked by their types. */
const routeTree = rootRoute.addChildren([signInRoute, shellRoute.addChildren([...overviewRoutes])]);

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
