import { isSameSecret } from '@lowrank/domain';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { type Registry } from 'prom-client';

export interface MetricsServerOptions {
  host: string;
  port: number;
  /** What Prometheus must send as its bearer token; null: nothing. */
  token: string | null;
}

/**
 * A worker's own door: `GET /metrics` for Prometheus, and `GET /health` for whoever would restart a process that answers no more. What else
 * may be wrong is not for a restart to mend: without its Postgres or queue a worker waits.
 */
export class MetricsServer {
  private server: Server | null = null;

  constructor(
    private readonly registry: Registry,
    private readonly options: MetricsServerOptions,
  ) {}

  /** Resolves to the port once it listens; rejects when it cannot. */
  async start(): Promise<number> {
    const { host, port, token } = this.options;
    const server = createServer((request, response) => {
      const answer = (status: number, body: string, type = 'text/plain; charset=utf-8') => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
      };
      const path = request.method === 'GET' ? request.url?.split('?')[0] : undefined;
      if (path === '/health') return answer(200, 'ok\n');
      if (path !== '/metrics') return answer(404, 'Only GET /metrics and GET /health are here.\n');
      const sent = request.headers.authorization ?? '';
      if (token !== null && !isSameSecret(sent, `Bearer ${token}`)) {
        response.setHeader('www-authenticate', 'Bearer');
        return answer(401, 'Send LOWRANK_METRICS_TOKEN as a bearer token.\n');
      }
      this.registry.metrics().then(
        (body) => answer(200, body, this.registry.contentType),
        () => answer(500, 'The metrics could not be collected.\n'),
      );
    });
    this.server = server;
    server.listen(port, host);
    await once(server, 'listening');
    server.on('error', () => undefined);
    return (server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const { server } = this;
    if (server === null || !server.listening) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
