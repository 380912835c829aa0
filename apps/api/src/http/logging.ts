import { RequestMethod } from '@nestjs/common';
import { type Params } from 'nestjs-pino';
import { type IncomingMessage, type ServerResponse } from 'node:http';

type Request = IncomingMessage & { id: string; originalUrl?: string };

/** One line per request: no headers, no bodies, no query strings, so that keys, prompts and data cannot end up in logs. */
export const loggingOf = (level: string): Params => ({
  forRoutes: [{ path: '{*path}', method: RequestMethod.ALL }],
  pinoHttp: {
    level,
    genReqId: (request) => (request as Request).id,
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
