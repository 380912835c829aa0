import { type Context, context, type Span, SpanStatusCode, trace } from '@opentelemetry/api';
import { beginSpan, contextOf, isTracing } from '@lowrank/telemetry';
import { type FastifyInstance } from 'fastify';
import { metricsRoute } from '../metrics/route';

declare module 'fastify' {
  interface FastifyRequest {
    /** The span of the request and the context that it is active in; null for what is not traced. */
    tracing: { span: Span; context: Context } | null;
  }
}

/** Asked every few seconds by machines, and told by metrics. */
const untraced: readonly string[] = ['/health', metricsRoute];

/** A span for every request, as a part of the caller's trace where it sends a traceparent; what handlers do happens within it. */
export function traceRequests(fastify: FastifyInstance): void {
  fastify.decorateRequest('tracing', null);
  fastify.addHook('onRequest', (request, _reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    if (!isTracing() || untraced.includes(route)) return done();
    const sent = request.headers.traceparent;
    const parent = typeof sent === 'string' ? sent : null;
    const span = beginSpan(`${request.method} ${route}`, {
      ...{ kind: 'server', parent },
      attributes: {
        'http.request.method': request.method,
        'http.route': route,
        'lowrank.request.id': request.id,
      },
    });
    request.tracing = { span, context: trace.setSpan(contextOf(parent), span) };
    context.with(request.tracing.context, done);
  });
  // The body comes in events of the socket, which know nothing of the request.
  fastify.addHook('preHandler', (request, _reply, done) =>
    request.tracing === null ? done() : context.with(request.tracing.context, done),
  );
  fastify.addHook('onResponse', async (request, reply) => {
    if (request.tracing === null) return;
    const { span } = request.tracing;
    span.setAttribute('http.response.status_code', reply.statusCode);
    if (reply.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  });
}
