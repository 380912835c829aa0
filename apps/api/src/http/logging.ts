import { RequestMethod } from '@nestjs/common';
import { type Config, secretsOf } from '@lowrank/config';
import { logOptions } from '@lowrank/telemetry';
import { type Params } from 'nestjs-pino';
import { type IncomingMessage, type ServerResponse } from 'node:http';

type Request = IncomingMessage & { id: string; originalUrl?: string; traceId?: string };

/** One line per request: no headers, no bodies, no query strings, so that keys, prompts and data cannot end up in logs. */
export const loggingOf = (config: Config): Params => ({
  forRoutes: [{ path: '{*path}', method: RequestMethod.ALL }],
  pinoHttp: {
    ...logOptions({
      service: 'lowrank-api',
      level: config.logLevel,
      secrets: secretsOf(config),
    }),
    genReqId: (request) => (request as Request).id,
    // The line is written when the response is done, outside of the request's span.
    customProps: (request) => {
      const { traceId } = request as Request;
      return traceId === undefined ? {} : { traceId };
    },
    autoLogging: { ignore: (request) => (request as Request).originalUrl === '/health' },
    serializers: {
      req: ({ id, method, url }: { id: string; method: string; url: string }) => ({
        id,
        method,
        path: url.split('?')[0],
      }),
      res: ({ statusCode }: ServerResponse) => ({ statusCode }),
    },
    customLogLevel: (_request, { statusCode }) =>
      statusCode >= 500 ? 'error' : statusCode >= 400 ? 'warn' : 'info',
  },
});
