import { randomUUID } from 'node:crypto';
import { type IncomingMessage } from 'node:http';

/** The client's own x-request-id when it is harmless in a log line, or a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const sent = request.headers['x-request-id'];
  return typeof sent === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(sent) ? sent : randomUUID();
}
