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

/** A worker's own door for Prometheus: `GET /metrics` and nothing else. */
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
      if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics')
        return answer(404, 'Only GET /metrics is here.\n');
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
