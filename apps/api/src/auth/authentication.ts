import { isOpen, LowrankError, type Principal } from '@lowrank/contracts';
import { assertAllowed, isSameSecret } from '@lowrank/domain';
import { type FastifyReply, type FastifyRequest, type onRequestAsyncHookHandler } from 'fastify';
import { metricsRoute } from '../metrics/route';
import { assertSameOrigin, sessionSecretOf } from '../session/cookie';
import { type Bursts, type Limits } from './bursts';
import { type KeyCache } from './key-cache';

declare module 'fastify' {
  interface FastifyRequest {
    /** On whose behalf the request is answered; null on the open routes, and for Prometheus' own token. */
    principal: Principal | null;
  }
}

/** Answers anybody, as routes of open actions do. Everything else, unknown paths too, needs a key or a session. */
const openRoute = '/health';
const docsRoute = /^\/docs(?:$|[/-])/;

/**
 * Fastify hook that lets nobody in without a live API key or session, nor to a route whose action they may not do, before a byte of the body
 * is read; a browser's request without a key has to come from our own pages if it changes something. A route without an action is for nobody; the OpenAPI pages are for everybody with a key, and a browser may send it to them
 * as the password of HTTP Basic. Prometheus has a token of its own for the metrics. Who sends more than `limits` let through is asked to
 * wait (rate_limited): callers each by themselves, and wrong keys by their address.
 */
export function requirePrincipal(
  keys: KeyCache,
  sessions: (secret: string) => Promise<Principal | null>,
  metricsToken: string | null,
  limits: Limits | null = null,
): onRequestAsyncHookHandler {
  const principalOf = async (request: FastifyRequest, secret: string | null): Promise<Principal | null> => {
    const session = sessionSecretOf(request);
    if (secret === null && session === null)
      throw new LowrankError('unauthorized', 'The request has no API key.');
    return secret === null ? sessions(session ?? '') : keys.find(secret);
  };
  return async (request, reply) => {
    const { url: route, config } = request.routeOptions;
    if (route === openRoute) return;
    const isDocs = route !== undefined && docsRoute.test(route);
    const secret = secretOf(request, isDocs);
    if (secret === null) assertSameOrigin(request);
    if (config.action !== undefined && isOpen(config.action)) return;
    if (
      secret !== null &&
      route === metricsRoute &&
      metricsToken !== null &&
      isSameSecret(secret, metricsToken)
    )
      return;
    const principal = await principalOf(request, secret);
    if (principal === null) {
      if (limits !== null) takeTurn(limits.strangers, request.ip, reply);
      throw new LowrankError(
        'unauthorized',
        secret === null ? 'The session is over.' : 'The API key is mistyped, unknown or revoked.',
      );
    }
    if (limits !== null) takeTurn(limits.callers, principal.actor.id, reply);
    request.principal = principal;
    // A path without a route is answered with 404.
    if (isDocs || route === undefined) return;
    if (config.action === undefined)
      throw new LowrankError('forbidden', `${request.method} ${route} says of no action who may do it.`);
    assertAllowed(request.principal, config.action);
  };
}

/** Error: rate_limited, with the header Retry-After. */
function takeTurn(bursts: Bursts, who: string, reply: FastifyReply): void {
  const waitMs = bursts.take(who);
  if (waitMs === 0) return;
  void reply.header('retry-after', String(Math.ceil(waitMs / 1000)));
  throw new LowrankError('rate_limited', 'There were too many requests of this caller in too short a time.');
}

function secretOf({ headers }: FastifyRequest, basicAllowed: boolean): string | null {
  const [, scheme, value = ''] = /^(Bearer|Basic) +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (scheme?.toLowerCase() === 'bearer') return value;
  if (scheme && basicAllowed) return Buffer.from(value, 'base64').toString().split(':').slice(1).join(':');
  return null;
}
