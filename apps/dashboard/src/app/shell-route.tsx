import { createRootRoute, createRoute, Outlet, redirect } from '@tanstack/react-router';
import { NotFoundState, RouteErrorState } from '../components/states';
import { ApiError } from '../lib/api';
import { queryClient } from '../lib/query';
import { sessionQuery } from '../lib/session';
import { Shell } from './shell';

export const rootRoute = createRootRoute({
  component: Outlet,
  notFoundComponent: NotFoundState,
  errorComponent: RouteErrorState,
});

/** The parent of every page for people who have signed in; others are sent to sign in, and come back to where they wanted to be. */
export const shellRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: 'shell',
  beforeLoad: async ({ location }) => {
    try {
      await queryClient.ensureQueryData(sessionQuery);
    } catch (error) {
      if (error instanceof ApiError && [401, 404].includes(error.status))
        throw redirect({ to: '/sign-in', search: { next: location.href } });
      throw error;
    }
  },
  component: Shell,
});
