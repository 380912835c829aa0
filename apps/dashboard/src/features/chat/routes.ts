import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { shellRoute } from '../../app/shell-route';
import { defined, textOf } from '../../lib/search';

export const sides = ['left', 'right'] as const;
export type Side = (typeof sides)[number];

export interface ChatSearch {
  /** Models by the names that completions know them by: `name`, `name@prod`, `team/name@v3`, or a base model. */
  left?: string;
  right?: string;
  temperature?: number;
  maxTokens?: number;
}

const within = (value: unknown, least: number, most: number): number | undefined =>
  typeof value === 'number' && value >= least && value <= most ? value : undefined;

export const chatRoutes = [
  createRoute({
    getParentRoute: () => shellRoute,
    path: '/try',
    validateSearch: (search): ChatSearch =>
      defined({
        left: textOf(search.left),
        right: textOf(search.right),
        temperature: within(search.temperature, 0, 2),
        maxTokens: within(search.maxTokens, 1, 131_072),
      }),
    component: lazyRouteComponent(() => import('./chat-page'), 'ChatPage'),
  }),
] as const;
