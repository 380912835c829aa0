import { type WebhookDeliveryState, webhookDeliveryStates } from '@lowrank/contracts';
import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { shellRoute } from '../../app/shell-route';
import { defined, textOf, wordOf } from '../../lib/search';

export interface AuditSearch {
  actor?: string;
  action?: string;
  target?: string;
  request?: string;
  since?: string;
  until?: string;
}

export const adminRoutes = [
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/admin/members',
    component: lazyRouteComponent(() => import('./members-page'), 'MembersPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/admin/keys',
    component: lazyRouteComponent(() => import('./keys-page'), 'KeysPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/admin/pins',
    component: lazyRouteComponent(() => import('./pins-page'), 'PinsPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/admin/audit',
    validateSearch: (search): AuditSearch =>
      defined({
        actor: textOf(search.actor),
        action: textOf(search.action),
        target: textOf(search.target),
        request: textOf(search.request),
        since: textOf(search.since),
        until: textOf(search.until),
      }),
    component: lazyRouteComponent(() => import('./audit-page'), 'AuditPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/admin/webhooks',
    /** `webhook`: whose deliveries are shown; `state`: only those. */
    validateSearch: (search): { webhook?: string; state?: WebhookDeliveryState } =>
      defined({ webhook: textOf(search.webhook), state: wordOf(search.state, webhookDeliveryStates) }),
    component: lazyRouteComponent(() => import('./webhooks-page'), 'WebhooksPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/admin/teams',
    component: lazyRouteComponent(() => import('./teams-page'), 'TeamsPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/admin/workers',
    component: lazyRouteComponent(() => import('./workers-page'), 'WorkersPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/admin/queue',
    component: lazyRouteComponent(() => import('./queue-page'), 'QueuePage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/admin/services',
    component: lazyRouteComponent(() => import('./services-page'), 'ServicesPage'),
  }),
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/admin/settings',
    component: lazyRouteComponent(() => import('./settings-page'), 'SettingsPage'),
  }),
] as const;
