import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute, shellRoute } from '../../app/shell-route';

export const accountRoutes = [
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/account',
    component: lazyRouteComponent(() => import('./account-page'), 'AccountPage'),
  }),
] as const;

/** Where the link of an admin leads: `/reset-password#lrr_…`. What follows the # is not sent to servers, so that no log has the token. */
export const resetPasswordRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/reset-password',
  component: lazyRouteComponent(() => import('./reset-password-page'), 'ResetPasswordPage'),
});
