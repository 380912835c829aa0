import {
  LowrankError,
  openAiErrorOf,
  pinsSchema,
  serveRequestSchema,
  serveTargetSchema,
  type Tokens,
  usageHeader,
} from '@lowrank/contracts';
import { isSameSecret } from '@lowrank/domain';
import { publicError } from '@lowrank/training';
import Fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { once } from 'node:events';
import { type z } from 'zod';
import { Meter } from '../generation/meter';
import { type Outcome, type ServeMetrics } from '../metrics';
import { type Models } from '../models/models';
import { type Pins } from '../models/pins';
import { type Service } from '../generation/service';
import { type Turns } from '../generation/turns';
import { type InFlight } from './in-flight';

export interface ServerOptions {
  service: Service;
  models: Models;
  pins: Pins;
  turns: Turns;
  inFlight: InFlight;
  metrics: ServeMetrics;
  /** What the API says to be let in. */
  token: string;
  /** What Prometheus may say instead at /metrics; null: nothing. */
  metricsToken: string | null;
  bodyBytes: number;
  logger: FastifyBaseLogger;
}

/** Of 500 and above, what is as it should be. */
const refusals: ReadonlySet<string> = new Set(['server_draining', 'server_memory_short']);
/** Seconds that a refused client is asked to stay away. */
const retryAfterSeconds = 2;

/**
 * What the API talks to: `POST /v1/completions` takes a serveRequestSchema and answers as OpenAI does, with what it took in a header or, of
 * streams, a trailer; `DELETE /v1/completions/<x-request-id>` ends one whose client has left; `POST /v1/prefetch` loads a serveTargetSchema.
 * `PUT /v1/pins` says what stays loaded whatever else is asked for, and answers as `GET /v1/pins` does, what became of it. `GET /health` says what is loaded, and whether to send more; `GET /metrics` is for Prometheus. Everything but /health needs a token.
 */
export function createServer(options: ServerOptions): FastifyInstance {
  const { service, models, pins, turns, inFlight, metrics, token, metricsToken, bodyBytes, logger } = options;
  const app = Fastify({
    loggerInstance: logger,
    bodyLimit: bodyBytes,
    logController: new LogController({ disableRequestLogging: true }),
  });

  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
  });

  app.get('/health', async (_request, reply) => {
    const { bases } = models.loaded;
    const status = inFlight.draining ? 'draining' : bases > 0 || !models.loading ? 'ready' : 'loading';
    return reply.status(status === 'draining' ? 503 : 200).send({ status, ...models.loaded, ...turns.load });
  });

  app.addHook('onRequest', async ({ url, headers }) => {
    if (url === '/health') return;
    const sent = headers.authorization ?? '';
    if (url === '/metrics' && metricsToken !== null && isSameSecret(sent, `Bearer ${metricsToken}`)) return;
    if (!isSameSecret(sent, `Bearer ${token}`))
      throw new LowrankError('unauthorized', 'This server answers the API alone.');
  });

  app.get('/metrics', async (_request, reply) =>
    reply.header('content-type', metrics.registry.contentType).send(await metrics.registry.metrics()),
  );

  app.post('/v1/completions', async (request, reply) => {
    const parsed = parsedAs(serveRequestSchema, request.body);
    const id = String(request.headers['x-request-id'] ?? request.id);
    const left = inFlight.begin(id);
    const meter = new Meter(metrics);
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) inFlight.leave(id);
      // The API keeps its connections; one whose last answer came while this server closes would hold it open.
      if (closing) setImmediate(() => app.server.closeIdleConnections());
    });
    let outcome: Outcome = 'answered';
    try {
      if (parsed.completion.body.stream !== true) {
        const answer = await service.answer(parsed, left, meter);
        return await reply.header(usageHeader, JSON.stringify(meter.tokens)).send(answer);
      }
      await service.stream(parsed, left, meter, () => eventStream(reply));
      endStream(reply, '', meter.tokens);
      return reply;
    } catch (error) {
      outcome = left.aborted
        ? 'left'
        : error instanceof LowrankError && error.status < 500
          ? 'refused'
          : 'failed';
      void answerError(error, request, reply, meter.tokens);
      return reply;
    } finally {
      metrics.ended(parsed.completion.kind, outcome, meter.tokens);
      inFlight.end(id);
    }
  });

  app.delete<{ Params: { id: string } }>('/v1/completions/:id', async ({ params }, reply) =>
    reply.status(inFlight.leave(params.id) ? 204 : 404).send(),
  );

  app.post('/v1/prefetch', async ({ body }, reply) => {
    await service.prefetch(parsedAs(serveTargetSchema, body));
    return reply.status(204).send();
  });

  app.get('/v1/pins', async () => ({ pins: pins.states }));
  app.put('/v1/pins', async ({ body }) => ({ pins: await pins.declare(parsedAs(pinsSchema, body).targets) }));
  app.setErrorHandler((error, request, reply) => {
    void answerError(error, request, reply, null);
  });
  return app;
}

/** Error: validation_failed. */
function parsedAs<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new LowrankError(
    'validation_failed',
    'The request is not one that this version knows.',
    parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })),
  );
}

/** `tokens`: what was taken until then; null: nothing was. */
function answerError(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  tokens: Tokens | null,
): unknown {
  const error = publicErrorOf(thrown);
  if (error.status >= 500 && !refusals.has(error.code)) request.log.error({ err: thrown }, error.message);
  // Too late for a status, and for the API to say it: the event is what OpenAI's clients throw; without [DONE] they know that it is not all.
  if (reply.raw.headersSent)
    return endStream(reply, `data: ${JSON.stringify(openAiErrorOf(error))}\n\n`, tokens);
  if (error.code === 'server_busy' || error.code === 'server_draining')
    void reply.header('retry-after', retryAfterSeconds);
  if (tokens !== null) void reply.header(usageHeader, JSON.stringify(tokens));
  return reply.status(error.status).send(error.toBody(request.id));
}

/** Takes the response over as a stream of server-sent events; resolves when the client can take more. */
function eventStream(reply: FastifyReply): (event: string) => Promise<void> {
  reply.hijack();
  reply.raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    trailer: usageHeader,
  });
  return async (event) => {
    if (event !== '' && !reply.raw.write(event) && !reply.raw.destroyed)
      await Promise.race([once(reply.raw, 'drain'), once(reply.raw, 'close')]);
  };
}

function endStream({ raw }: FastifyReply, last: string, tokens: Tokens | null): void {
  if (raw.destroyed) return;
  if (tokens !== null) raw.addTrailers({ [usageHeader]: JSON.stringify(tokens) });
  raw.end(last);
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
