import { LowrankError, type Principal } from '@lowrank/contracts';
import { assertAllowed, isSameSecret } from '@lowrank/domain';
import { type FastifyRequest, type onRequestAsyncHookHandler } from 'fastify';
import { metricsRoute } from '../metrics/route';
import { type KeyCache } from './key-cache';

declare module 'fastify' {
  interface FastifyRequest {
    /** On whose behalf the request is answered; null on the open route, and for Prometheus' own token. */
    principal: Principal | null;
  }
}

/** Answers without a key. Everything else, unknown paths too, needs one. */
const openRoute = '/health';
const docsRoute = /^\/docs(?:$|[/-])/;

/**
 * Fastify hook that lets nobody in without a live API key, nor to a route whose action that key may not do, before a byte of the body is
 * read. A route without an action is for nobody; the OpenAPI pages are for everybody with a key, and a browser may send it to them
 * as the password of HTTP Basic. Prometheus has a token of its own for the metrics.
 */
export function requirePrincipal(keys: KeyCache, metricsToken: string | null): onRequestAsyncHookHandler {
  return async (request) => {
    const { url: route, config } = request.routeOptions;
    if (route === openRoute) return;
    const isDocs = route !== undefined && docsRoute.test(route);
    const secret = secretOf(request, isDocs);
    if (secret === null) throw new LowrankError('unauthorized', 'The request has no API key.');
    if (route === metricsRoute && metricsToken !== null && isSameSecret(secret, metricsToken)) return;
    request.principal = await keys.find(secret);
    if (request.principal === null)
      throw new LowrankError('unauthorized', 'The API key is mistyped, unknown or revoked.');
    // A path without a route is answered with 404.
    if (isDocs || route === undefined) return;
    if (config.action === undefined)
      throw new LowrankError('forbidden', `${request.method} ${route} says of no action who may do it.`);
    assertAllowed(request.principal, config.action);
  };
}

function secretOf({ headers }: FastifyRequest, basicAllowed: boolean): string | null {
  const [, scheme, value = ''] = /^(Bearer|Basic) +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (scheme?.toLowerCase() === 'bearer') return value;
  if (scheme && basicAllowed) return Buffer.from(value, 'base64').toString().split(':').slice(1).join(':');
  return null;
}
