import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliDecompressSync } from 'node:zlib';
import { Stack } from './stack';

/** Where Debian puts Caddy; CADDY names another. The image has a newer one. */
const caddy = process.env.CADDY ?? '/usr/bin/caddy';
const root = resolve(__dirname, '../../..');

if (!existsSync(caddy))
  process.stderr.write(
    `No Caddy at ${caddy}: tests of the dashboard's image are skipped (apt-get install caddy).\n`,
  );

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return address.port;
}

(existsSync(caddy) ? describe : describe.skip)("the dashboard's own image", () => {
  let stack: Stack;
  let url: string;
  let stop: () => Promise<void>;

  beforeAll(async () => {
    stack = await Stack.start();
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const config = join(root, 'deploy/images/Caddyfile');
    const child = spawn(caddy, ['run', '--config', config, '--adapter', 'caddyfile'], {
      env: {
        ...{ PATH: process.env.PATH, HOME: '/nonexistent', DASHBOARD_PORT: String(port) },
        ...{ DASHBOARD_API: new URL(stack.url).host, DASHBOARD_FOLDER: join(root, 'apps/dashboard/dist') },
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
    stop = async () => {
      if (child.exitCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    };
    for (;;) {
      if (child.exitCode !== null) throw new Error(`Caddy ended:\n${log}`);
      if (
        await fetch(url).then(
          () => true,
          () => false,
        )
      )
        return;
      await sleep(100);
    }
  }, 120_000);
  afterAll(async () => {
    await stop?.();
    await stack?.stop();
  }, 60_000);

  /** As a browser asks for a page; fetch says of itself that it is none. */
  const visit = (base: string, path: string): Promise<IncomingMessage & { body: Buffer }> =>
    new Promise((done, failed) => {
      const headers = { 'sec-fetch-mode': 'navigate', 'accept-encoding': 'br' };
      get(base + path, { headers, agent: false }, (answer) => {
        buffer(answer).then((body) => done(Object.assign(answer, { body })), failed);
      }).on('error', failed);
    });
  const shared = [
    'content-security-policy',
    'cross-origin-opener-policy',
    'cross-origin-resource-policy',
    'referrer-policy',
    'x-content-type-options',
    'cache-control',
    'content-type',
    'content-encoding',
    'vary',
  ];

  it('sends pages with the headers that the API sends them with', async () => {
    const page = brotliDecompressSync((await visit(url, '/')).body).toString();
    const [script = ''] = /\/assets\/[^"]+\.js/.exec(page) ?? [];
    for (const path of ['/', '/index.html', '/catalog/tone?view=card', '/theme.js', script]) {
      const [ours, api] = await Promise.all([visit(url, path), visit(stack.url, path)]);
      expect([path, ours.statusCode]).toEqual([path, 200]);
      for (const name of shared)
        expect([path, name, ours.headers[name]]).toEqual([path, name, api.headers[name]]);
      expect(ours.body.equals(api.body)).toBe(true);
    }
  });

  it.each([
    '/assets/none.js',
    '/none.js',
    '/.vite/manifest.json',
    '/metrics',
    '/default/tone/resolve/main/x',
  ])('knows no %s', async (path) => expect((await fetch(url + path)).status).toBe(404));

  it('passes the API on, with its session and its rule for other origins', async () => {
    const signIn = (origin: string) =>
      fetch(`${url}/api/v1/session/key`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin },
        body: JSON.stringify({ key: stack.key }),
      });
    expect((await signIn('http://elsewhere.example')).status).toBe(403);
    const answer = await signIn(url);
    expect(answer.status).toBe(200);
    const cookie = answer.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/^lowrank_session=.*HttpOnly; .*SameSite=Strict/i);
    const own = { headers: { cookie: cookie.split(';')[0] ?? '' } };
    expect((await fetch(`${url}/api/v1/session`, own)).status).toBe(200);
    expect((await fetch(`${url}/api/v1/session`)).status).toBe(401);
    const crossing = {
      ...own,
      method: 'DELETE',
      headers: { ...own.headers, origin: 'http://elsewhere.example' },
    };
    expect((await fetch(`${url}/api/v1/session`, crossing)).status).toBe(403);
  });

  it('passes events on as they come', async () => {
    const headers = { authorization: `Bearer ${stack.key}` };
    const leave = new AbortController();
    const { body } = await fetch(`${url}/api/v1/overview/stream`, { headers, signal: leave.signal });
    const reader = body?.pipeThrough(new TextDecoderStream()).getReader();
    // The stream has no end: its first event is here while it goes on.
    let text = '';
    while (!text.includes('event: overview')) text += (await reader?.read())?.value ?? '';
    leave.abort();
  });
});
