import { type ApiKey, LowrankError } from '@lowrank/contracts';
import { type FastifyRequest, type onRequestAsyncHookHandler } from 'fastify';
import { type KeyCache } from './key-cache';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; null on the open routes only. */
    apiKey: ApiKey | null;
  }
}

/** The routes that answer without a key, as they were registered. Everything else, unknown paths too, needs one. */
const openRoute = '/health';
const docsRoute = /^\/docs(?:$|[/-])/;

/**
 * Fastify hook that lets nobody in without a live API key, before a byte of the body is read. The OpenAPI pages are open when the API
 * listens on loopback only; otherwise a browser may send the key as the password of HTTP Basic.
 */
export function requireApiKey(
  keys: KeyCache,
  { docsOpen }: { docsOpen: boolean },
): onRequestAsyncHookHandler {
  return async (request) => {
    const route = request.routeOptions.url ?? '';
    const isDocs = docsRoute.test(route);
    if (route === openRoute || (isDocs && docsOpen)) return;
    const secret = secretOf(request, isDocs);
    if (secret === null) throw new LowrankError('unauthorized', 'The request has no API key.');
    request.apiKey = await keys.find(secret);
    if (request.apiKey === null)
      throw new LowrankError('unauthorized', 'The API key is mistyped, unknown or revoked.');
  };
}

function secretOf({ headers }: FastifyRequest, basicAllowed: boolean): string | null {
  const [, scheme, value = ''] = /^(Bearer|Basic) +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (scheme?.toLowerCase() === 'bearer') return value;
  if (scheme && basicAllowed) return Buffer.from(value, 'base64').toString().split(':').slice(1).join(':');
  return null;
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
