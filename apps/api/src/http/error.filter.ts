import { openAiErrorOf } from '@lowrank/contracts';
import { ArgumentsHost, Catch, ExceptionFilter, Logger } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { hubErrorHeaders } from '../hub/errors';
import { isOpenAiUrl, openAiErrorHeaders } from '../openai/errors';
import { toPublicError } from './errors';

/**
 * The one place where errors become responses: `{error: {code, message, help, details?, requestId}}` with the code's status, or what OpenAI's
 * clients read on its routes.
 */
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
    const isOpenAi = isOpenAiUrl(request.url);
    const hasRoute = request.routeOptions.url !== undefined;
    const hasKey = request.headers.authorization !== undefined;
    void reply
      .status(error.status)
      .headers(isOpenAi ? openAiErrorHeaders(error) : hubErrorHeaders(request.url, error, hasKey))
      .type('application/json')
      .send(isOpenAi ? openAiErrorOf(error, hasRoute) : error.toBody(String(request.id)));
  }
}
