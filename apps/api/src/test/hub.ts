import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';

/** The part of the hub's protocol that importing speaks, over files in memory: model info, tree, resolve with ranges. */
export class LocalHub {
  static readonly commit = '0123456789abcdef0123456789abcdef01234567';
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  /** What is sent instead of a file, to be caught. */
  readonly tampered: Record<string, Buffer> = {};
  /** Where a file is sent on to. */
  readonly elsewhere: Record<string, string> = {};
  private server!: Server;

  private constructor(private readonly files: Record<string, Buffer>) {}

  static async start(files: Record<string, Buffer>): Promise<LocalHub> {
    const hub = new LocalHub(files);
    hub.server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? '/', 'http://hub');
      hub.asked.push(pathname);
      if (pathname === '/api/models/owner/name/revision/main')
        return response
          .setHeader('content-type', 'application/json')
          .end(JSON.stringify({ _id: '1', id: 'owner/name', sha: LocalHub.commit, private: false }));
      if (pathname === `/api/models/owner/name/tree/${LocalHub.commit}`)
        return response.setHeader('content-type', 'application/json').end(JSON.stringify(hub.tree()));
      const [, name] =
        new RegExp(`^/owner/name/resolve/${LocalHub.commit}/(.+)$`).exec(decodeURIComponent(pathname)) ?? [];
      const location = name === undefined ? undefined : hub.elsewhere[name];
      if (location !== undefined) return response.writeHead(302, { location }).end();
      const body = name === undefined ? undefined : (hub.tampered[name] ?? hub.files[name]);
      if (body === undefined) return response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end('{}');
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      const start = Number(from ?? 0);
      const end = Math.min(Number(to ?? Infinity), body.length - 1);
      response.writeHead(from === undefined ? 200 : 206, {
        etag: `"${createHash('sha256').update(body).digest('hex')}"`,
        'content-length': end - start + 1,
        ...(from === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${body.length}` }),
      });
      return response.end(request.method === 'HEAD' ? undefined : body.subarray(start, end + 1));
    });
    await new Promise<void>((resolve) => hub.server.listen(0, '127.0.0.1', resolve));
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private tree() {
    return Object.entries(this.files).map(([path, content]) => {
      const oid = createHash('sha256').update(content).digest('hex');
      const lfs = { oid, size: content.length, pointerSize: 130 };
      const isLarge = path.endsWith('.safetensors');
      return { type: 'file', path, size: content.length, oid: oid.slice(0, 40), ...(isLarge ? { lfs } : {}) };
    });
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
