import { type FastifyReply, type FastifyRequest } from 'fastify';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

const compress = promisify(gzip);
/** What is shorter is sent as it is: answers with secrets, such as a new key, are far shorter. */
const leastCharacters = 32_768;

/** Hook of Fastify: compresses long answers of JSON for clients that take gzip. Streams and files are sent as they are. */
export async function compressAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
): Promise<unknown> {
  if (typeof payload !== 'string' || payload.length < leastCharacters) return payload;
  void reply.header('vary', 'accept-encoding');
  if (!/\bgzip\b/.test(request.headers['accept-encoding'] ?? '') || reply.hasHeader('content-encoding'))
    return payload;
  void reply.header('content-encoding', 'gzip').removeHeader('content-length');
  // The quickest: numbers shrink by little more with any other.
  return compress(payload, { level: 1 });
}
