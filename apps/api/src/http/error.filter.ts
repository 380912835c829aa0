import { ArgumentsHost, Catch, ExceptionFilter, Logger } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { hubErrorHeaders } from '../hub/errors';
import { toPublicError } from './errors';

/** The one place where errors become responses: `{error: {code, message, help, details?, requestId}}` with the code's status. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  private readonly logger = new Logger(ErrorFilter.name);

  catch(thrown: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const error = toPublicError(thrown);
    if (error.status >= 500)
      this.logger.error(
        { err: error.cause ?? error, code: error.code, req: { id: request.id } },
        error.message,
      );
    if (reply.raw.headersSent) {
      // Too late for a status: cutting the connection tells the client that the body is not whole.
      reply.raw.destroy();
      return;
    }
    if (error.status === 401) {
      const isDocs = request.url.startsWith('/docs');
      reply.header('www-authenticate', isDocs ? 'Basic realm="Lowrank API key as password"' : 'Bearer');
    }
    const hasKey = request.headers.authorization !== undefined;
    void reply
      .status(error.status)
      .headers(hubErrorHeaders(request.url, error, hasKey))
      .type('application/json')
      .send(error.toBody(String(request.id)));
  }
}
