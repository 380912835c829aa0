import { applyDecorators } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiExtension, ApiSecurity } from '@nestjs/swagger';
import { type Action as ActionName, actions, isOpen } from '@lowrank/contracts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the route does, and so who may ask for it; every route but the open one declares it. */
    action?: ActionName;
  }
}

/**
 * Declares what a route does. It travels with the route, so that a request is judged before a byte of its body is read, and is part of the
 * OpenAPI description with what it needs.
 */
export const Action = (action: ActionName) =>
  applyDecorators(
    ...(isOpen(action) ? [ApiSecurity({})] : []),
    RouteConfig({ action }),
    ApiExtension('x-lowrank-access', { action, ...actions[action] }),
  );
