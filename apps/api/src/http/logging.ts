import { type Config, secretsOf } from '@lowrank/config';
import { logOptions } from '@lowrank/telemetry';
import { type FastifyInstance } from 'fastify';
import { type Params, type PinoLogger } from 'nestjs-pino';

export const loggingOf = (config: Config) =>
  ({
    // Nest's lines only. Those of requests are for logRequests: a middleware, two loggers and an asynchronous context for each request took
    // a tenth of its time.
    forRoutes: [],
    pinoHttp: logOptions({
      service: 'lowrank-api',
      level: config.logLevel,
      secrets: secretsOf(config),
    }),
  }) satisfies Params;

/** Asked every few seconds by machines. */
const unlogged = '/health';

/** One line per request: no headers, no bodies, no query strings, so that keys, prompts and data cannot end up in logs. */
export function logRequests(fastify: FastifyInstance, logger: typeof PinoLogger.root): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    if (request.url === unlogged) return done();
    const { id, method, url, tracing } = request;
    const span = tracing?.span.isRecording() ? tracing.span.spanContext() : null;
    // Unlike onResponse, also when the client leaves before the answer is out.
    reply.raw.once('close', () => {
      const { statusCode, writableFinished } = reply.raw;
      const level = statusCode >= 500 ? 'error' : statusCode >= 400 ? 'warn' : 'info';
      const what = {
        req: { id, method, path: url.split('?')[0] },
        ...(span === null ? {} : { traceId: span.traceId }),
        res: { statusCode },
        responseTime: Math.round(reply.elapsedTime),
      };
      logger[level](what, writableFinished ? 'request completed' : 'request aborted');
    });
    done();
  });
}
