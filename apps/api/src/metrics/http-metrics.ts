import { type FastifyInstance } from 'fastify';
import { Histogram, type Registry } from 'prom-client';

/** From a cached read to an import of a large model. */
const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];

/**
 * Counts and times every request by method, route and status. The route is the pattern as it was registered, and `none` for paths that
 * are no route, so that callers cannot make up label values. Event streams last as long as their reader likes and are left out.
 */
export function measureRequests(fastify: FastifyInstance, registry: Registry): void {
  const duration = new Histogram({
    name: 'lowrank_http_request_duration_seconds',
    help: 'Time from the head of a request to the end of its response.',
    labelNames: ['method', 'route', 'status'],
    buckets,
    registers: [registry],
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    if (!String(reply.getHeader('content-type')).startsWith('text/event-stream'))
      duration.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000);
    done();
  });
}
