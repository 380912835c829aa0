import { LowrankError } from '@lowrank/contracts';
import { type SessionOrigin } from '@lowrank/domain';
import { type FastifyReply, type FastifyRequest } from 'fastify';

const name = 'lowrank_session';

/** The secret of the session that a request belongs to; null: none. */
export function sessionSecretOf({ headers }: FastifyRequest): string | null {
  const pairs = (headers.cookie ?? '').split(/; */);
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
}

/** Where a request comes from, and with what. */
export const originOf = ({ ip, headers }: FastifyRequest): SessionOrigin => ({
  address: ip,
  userAgent: headers['user-agent'] ?? null,
});

/**
 * Has the browser keep a secret until a time, or by null forget it: out of reach of scripts, sent with requests of our own pages only,
 * and over TLS only where the request came so.
 */
export function setSessionCookie(
  request: FastifyRequest,
  reply: FastifyReply,
  session: { secret: string; expiresAt: string } | null,
): void {
  const isSecure = request.protocol === 'https' || request.headers['x-forwarded-proto'] === 'https';
  const expires = new Date(session?.expiresAt ?? 0).toUTCString();
  const attributes = `Path=/; Expires=${expires}; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`;
  void reply.header('set-cookie', `${name}=${session?.secret ?? ''}; ${attributes}`);
}

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Refuses what a page of another origin has a browser send with our cookie, by what browsers say of where a request comes from: Fetch Metadata
 * (https://www.w3.org/TR/fetch-metadata/) and, where that is not sent, Origin (RFC 6454). Other clients say neither, and are tricked by no page.
 * Error: cross_origin_refused.
 */
export function assertSameOrigin({ method, headers }: FastifyRequest): void {
  if (safeMethods.has(method)) return;
  const site = headers['sec-fetch-site'];
  const { origin, host } = headers;
  const isOurs =
    site !== undefined
      ? site === 'same-origin' || site === 'none'
      : origin === undefined || (URL.canParse(origin) && new URL(origin).host === host);
  if (!isOurs)
    throw new LowrankError(
      'cross_origin_refused',
      `A page of another origin (${origin ?? site}) may change nothing by a session here.`,
    );
}
