import { LowrankError } from '@lowrank/contracts';
import { type lookup } from 'node:dns';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AddressRules } from './addresses';
import { download } from './download';

let folder: string;
let server: Server;
let port: number;
let answer: RequestListener;
let asked: string[];
beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(`${request.headers.host}${request.url}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(async () => {
  asked = [];
  folder = await mkdtemp(join(tmpdir(), 'lowrank-download-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Names lead to loopback, but for those of inside. */
const names = ((name: string, _options: unknown, callback: (error: Error | null, found: unknown) => void) =>
  callback(null, [
    { address: name.startsWith('inside') ? '10.0.0.1' : '127.0.0.1', family: 4 },
  ])) as unknown as typeof lookup;

const get = (url: string, options: { allowed?: string[]; maxBytes?: number; timeoutMs?: number } = {}) => {
  const { allowed = ['127.0.0.1/32'], maxBytes = 1000, timeoutMs = 3000 } = options;
  return download(url, join(folder, 'file'), {
    rules: new AddressRules(allowed),
    maxBytes,
    timeoutMs,
    lookup: names,
  });
};
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'delivered',
    (error) => (error instanceof LowrankError ? error.code : String(error)),
  );
const redirectTo =
  (location: string, status = 302): RequestListener =>
  (_request, response) =>
    response.writeHead(status, { location }).end();

it('writes what a URL leads to, by redirects too, and tells its name', async () => {
  answer = (request, response) =>
    request.url === '/old'
      ? response
          .writeHead(301, { location: `http://data.example:${port}/sets/my%20chats.jsonl?token=x` })
          .end()
      : response.end('rows');
  expect(await get(`http://files.example:${port}/old`)).toEqual({ bytes: 4, filename: 'my chats.jsonl' });
  expect(await readFile(join(folder, 'file'), 'utf8')).toBe('rows');
  expect(asked).toEqual([`files.example:${port}/old`, `data.example:${port}/sets/my%20chats.jsonl?token=x`]);
});

it("takes a server's own name for the file", async () => {
  answer = (_request, response) =>
    response.writeHead(200, { 'content-disposition': 'attachment; filename="rows.csv"' }).end('a');
  expect((await get(`http://files.example:${port}/download?id=7`)).filename).toBe('rows.csv');
});

describe('where it may not go', () => {
  it.each([
    '127.0.0.1',
    '127.1',
    '0177.0.0.1',
    '0x7f000001',
    '2130706433',
    '[::ffff:127.0.0.1]',
    'localhost',
    'files.example',
  ])('refuses %s, and does not knock there', async (host) => {
    answer = (_request, response) => response.end('secret');
    expect(await codeOf(get(`http://${host}:${port}/`, { allowed: [] }))).toBe('address_refused');
    expect(asked).toEqual([]);
  });

  it.each([
    'http://169.254.169.254/latest/meta-data',
    'http://inside.example/',
    'http://0xa9fea9fe/',
    'http://[fd00::1]/',
  ])('follows no redirect to %s', async (location) => {
    answer = redirectTo(location);
    expect(await codeOf(get(`http://files.example:${port}/`))).toBe('address_refused');
    expect(asked).toHaveLength(1);
  });

  it.each([
    'file:///etc/passwd',
    'ftp://files.example/x',
    'http://user:word@files.example/',
    'http://[',
    'gopher://127.0.0.1:6379/_x',
  ])('follows no redirect to %s either', async (location) => {
    answer = redirectTo(location);
    expect(await codeOf(get(`http://files.example:${port}/`))).toBe('download_failed');
    expect(asked).toHaveLength(1);
  });

  it('goes round no more than five times', async () => {
    answer = (request, response) => response.writeHead(307, { location: `${request.url}x` }).end();
    expect(await codeOf(get(`http://files.example:${port}/`))).toBe('download_failed');
    expect(asked).toHaveLength(6);
  });
});

describe('how much it takes', () => {
  it('refuses what says that it is too long before it comes, and what does not say so as it comes', async () => {
    answer = (_request, response) => response.writeHead(200, { 'content-length': 1001 }).write('x');
    expect(await codeOf(get(`http://files.example:${port}/`))).toBe('body_too_large');
    answer = (_request, response) => {
      response.write('x'.repeat(600));
      response.end('x'.repeat(600));
    };
    await rm(join(folder, 'file'), { force: true });
    expect(await codeOf(get(`http://files.example:${port}/`))).toBe('body_too_large');
  });

  it('gives up on a server that drips, that is silent, and that breaks off', async () => {
    answer = (_request, response) => {
      const dripping = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(dripping));
    };
    expect(await codeOf(get(`http://files.example:${port}/`, { timeoutMs: 300 }))).toBe('download_failed');
    answer = () => undefined;
    expect(await codeOf(get(`http://files.example:${port}/`, { timeoutMs: 200 }))).toBe('download_failed');
    answer = (_request, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('half');
      setTimeout(() => response.destroy(), 20);
    };
    await rm(join(folder, 'file'), { force: true });
    expect(await codeOf(get(`http://files.example:${port}/`))).toBe('download_failed');
  });

  it.each([204, 206, 304, 401, 404, 500])('takes nothing of status %i', async (status) => {
    answer = (_request, response) => response.writeHead(status).end();
    expect(await codeOf(get(`http://files.example:${port}/`))).toBe('download_failed');
  });
});
