import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute } from '../../app/shell-route';

/** Where an invitation leads: `/join#lri_…`. What follows the # is not sent to servers, so that no log has the token. */
export const joinRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/join',
  component: lazyRouteComponent(() => import('./join-page'), 'JoinPage'),
});
