import { type ApiKey, LowrankError } from '@lowrank/contracts';
import { isSameSecret } from '@lowrank/domain';
import { type FastifyRequest, type onRequestAsyncHookHandler } from 'fastify';
import { downloadRoute } from '../hub/route';
import { metricsRoute } from '../metrics/route';
import { type KeyCache } from './key-cache';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; null on open routes only. */
    apiKey: ApiKey | null;
  }
}

/** Routes that answer without a key, as they were registered: links to files are signed. Everything else, unknown paths too, needs one. */
const openRoutes: readonly string[] = ['/health', downloadRoute];
const docsRoute = /^\/docs(?:$|[/-])/;

/**
 * Fastify hook that lets nobody in without a live API key, before a byte of the body is read. For the OpenAPI pages a browser may send
 * the key as the password of HTTP Basic. Metrics are of all teams, so they are for admin keys, and for Prometheus' own token.
 */
export function requireApiKey(keys: KeyCache, metricsToken: string | null): onRequestAsyncHookHandler {
  return async (request) => {
    const route = request.routeOptions.url ?? '';
    if (openRoutes.includes(route)) return;
    const secret = secretOf(request, docsRoute.test(route));
    if (secret === null) throw new LowrankError('unauthorized', 'The request has no API key.');
    if (route === metricsRoute && metricsToken !== null && isSameSecret(secret, metricsToken)) return;
    request.apiKey = await keys.find(secret);
    if (request.apiKey === null)
      throw new LowrankError('unauthorized', 'The API key is mistyped, unknown or revoked.');
    if (route === metricsRoute && request.apiKey.role !== 'admin')
      throw new LowrankError('forbidden', 'Metrics are of all teams: they need an admin key or their token.');
  };
}

function secretOf({ headers }: FastifyRequest, basicAllowed: boolean): string | null {
  const [, scheme, value = ''] = /^(Bearer|Basic) +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (scheme?.toLowerCase() === 'bearer') return value;
  if (scheme && basicAllowed) return Buffer.from(value, 'base64').toString().split(':').slice(1).join(':');
  return null;
}
