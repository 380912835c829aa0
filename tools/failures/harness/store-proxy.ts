import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Installation } from './installation';
import { flipByte, makeBucket, startS3 } from './servers';

/** What the proxy does to requests from now on; with `pass` they reach the server as they are. */
export type Weather =
  | { type: 'pass' }
  /** Connections are cut. */
  | { type: 'down' }
  /** Answered in the server's place; `share` of the requests, all by default. */
  | { type: 'status'; status: 500 | 503; share?: number }
  /** Every request waits this long. */
  | { type: 'slow'; ms: number };

/**
 * Stands in front of a real S3 server and makes trouble on the way to it. Whatever it lets through is the real server's; the host
 * header is left as it came, since requests are signed with it.
 */
export class StoreProxy {
  weather: Weather = { type: 'pass' };
  /** Name of the bucket at the server. */
  bucket = '';
  /** Requests that met trouble. */
  troubled = 0;
  /** Called when the server has taken a PUT; the client hears of it when what is returned has resolved. */
  onPut: (key: string) => Promise<void> = async () => undefined;
  /** Called before a request is sent on; it waits for what is returned. */
  before: (method: string, key: string) => Promise<void> = async () => undefined;

  private constructor(
    private readonly server: Server,
    private readonly target: URL,
  ) {}

  static async start(target: string): Promise<StoreProxy> {
    const server = createServer();
    const proxy = new StoreProxy(server, new URL(target));
    server.on(
      'request',
      (asked: IncomingMessage, answer: ServerResponse) => void proxy.handle(asked, answer),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Changes one byte of an object behind everybody's back. */
  flipByte(key: string, at: number): Promise<void> {
    return flipByte(this.target.origin, this.bucket, key, at);
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async handle(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { weather } = this;
    const trouble =
      weather.type === 'status' ? Math.random() < (weather.share ?? 1) : weather.type !== 'pass';
    if (trouble) {
      this.troubled += 1;
      if (weather.type === 'down') return void asked.socket.destroy();
      if (weather.type === 'slow') await sleep(weather.ms);
      if (weather.type === 'status') {
        asked.resume();
        answer.writeHead(weather.status, { 'content-type': 'application/xml' });
        const code = weather.status === 503 ? 'SlowDown' : 'InternalError';
        return void answer.end(
          `<?xml version="1.0"?><Error><Code>${code}</Code><Message>trouble</Message></Error>`,
        );
      }
    }
    const { method = 'GET', url = '/', headers } = asked;
    const key = decodeURIComponent(url.split('?')[0]?.split('/').slice(2).join('/') ?? '');
    await this.before(method, key);
    const { hostname, port } = this.target;
    const passed = request({ hostname, port, method, path: url, headers, setHost: false }, (reply) => {
      const told = method === 'PUT' && reply.statusCode === 200 ? this.onPut(key) : Promise.resolve();
      void told.then(() => {
        answer.writeHead(reply.statusCode ?? 502, reply.headers);
        reply.pipe(answer);
      });
    });
    passed.on('error', () => answer.destroy());
    answer.on('close', () => passed.destroy());
    asked.pipe(passed);
  }
}

/** An installation whose processes reach a real S3 server through a proxy. */
export async function withStore<T>(
  work: (lowrank: Installation, proxy: StoreProxy) => Promise<T>,
): Promise<T> {
  let proxy: StoreProxy | null = null;
  const environment = async (folder: string): Promise<NodeJS.ProcessEnv> => {
    const server = await startS3(folder);
    proxy = await StoreProxy.start(server);
    const settings = await makeBucket(server, proxy.url);
    proxy.bucket = settings.S3_BUCKET ?? '';
    return settings;
  };
  try {
    return await Installation.with((lowrank) => work(lowrank, proxy as StoreProxy), environment);
  } finally {
    (proxy as StoreProxy | null)?.stop();
  }
}
