import { LowrankError, serveRequestSchema } from '@lowrank/contracts';
import { isSameSecret } from '@lowrank/domain';
import { publicError } from '@lowrank/training';
import Fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
} from 'fastify';
import { once } from 'node:events';
import { type Models } from '../models/models';
import { type Service } from '../generation/service';
import { type Turns } from '../generation/turns';

export interface ServerOptions {
  service: Service;
  models: Models;
  turns: Turns;
  /** What the API says to be let in. */
  token: string;
  bodyBytes: number;
  logger: FastifyBaseLogger;
}

/** Seconds that a refused client is asked to stay away. */
const retryAfterSeconds = 2;

/**
 * What the API talks to: `POST /v1/completions` takes a serveRequestSchema and answers as OpenAI does, `GET /health` says what is loaded.
 * Everything but /health needs the token.
 */
export function createServer({
  service,
  models,
  turns,
  token,
  bodyBytes,
  logger,
}: ServerOptions): FastifyInstance {
  const app = Fastify({
    loggerInstance: logger,
    bodyLimit: bodyBytes,
    logController: new LogController({ disableRequestLogging: true }),
  });

  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
  });

  app.get('/health', async () => ({ status: 'ok', ...models.loaded, ...turns.load }));

  app.addHook('onRequest', async ({ url, headers }) => {
    if (url === '/health') return;
    if (!isSameSecret(headers.authorization ?? '', `Bearer ${token}`))
      throw new LowrankError('unauthorized', 'This server answers the API alone.');
  });

  app.post('/v1/completions', async (request, reply) => {
    const parsed = serveRequestSchema.safeParse(request.body);
    if (!parsed.success)
      throw new LowrankError(
        'validation_failed',
        'The request is not one that this version knows.',
        parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })),
      );
    const left = new AbortController();
    reply.raw.once('close', () => {
      left.abort(new LowrankError('conflict', 'The client has left.'));
      // The API keeps its connections; one whose last answer came while this server closes would hold it open.
      if (closing) setImmediate(() => app.server.closeIdleConnections());
    });
    if (parsed.data.completion.body.stream !== true) return service.answer(parsed.data, left.signal);
    await service.stream(parsed.data, left.signal, () => eventStream(reply));
    reply.raw.end();
    return reply;
  });

  app.setErrorHandler((thrown, request, reply) => {
    const error = publicErrorOf(thrown);
    if (reply.raw.headersSent) {
      // Too late for a status. The event is what OpenAI's clients throw; without [DONE] they know that it is not all.
      if (!reply.raw.destroyed) reply.raw.end(`data: ${JSON.stringify(error.toBody(request.id))}\n\n`);
      return;
    }
    if (error.status >= 500) request.log.error({ err: thrown }, error.message);
    if (error.code === 'server_busy') void reply.header('retry-after', retryAfterSeconds);
    void reply.status(error.status).send(error.toBody(request.id));
  });
  return app;
}

/** Takes the response over as a stream of server-sent events; resolves when the client can take more. */
function eventStream(reply: FastifyReply): (event: string) => Promise<void> {
  reply.hijack();
  reply.raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  return async (event) => {
    if (event !== '' && !reply.raw.write(event) && !reply.raw.destroyed)
      await Promise.race([once(reply.raw, 'drain'), once(reply.raw, 'close')]);
  };
}

function publicErrorOf(thrown: unknown): LowrankError {
  if (thrown instanceof LowrankError) return thrown;
  const { statusCode = 500, message } = thrown as { statusCode?: number; message: string };
  if (statusCode === 413) return new LowrankError('body_too_large', message);
  if (statusCode < 500) return new LowrankError('validation_failed', message);
  const known = publicError(thrown);
  return known instanceof LowrankError
    ? known
    : new LowrankError('internal', 'Something went wrong here.', undefined, { cause: thrown });
}
