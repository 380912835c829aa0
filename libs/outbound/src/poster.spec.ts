import { LowrankError } from '@lowrank/contracts';
import { type lookup } from 'node:dns';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { AddressRules } from './addresses';
import { checkOutboundUrl } from './agent';
import { createPoster, type Poster } from './poster';

const open: (Server | Poster)[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) {
    if ('closeAllConnections' in one) one.closeAllConnections();
    await one.close();
  }
});

/** A server on loopback; resolves to its port. */
async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** A resolver that knows these names only. */
const knowing = (names: Record<string, string[]>): typeof lookup =>
  ((name: string, _options: unknown, callback: (error: Error | null, found: unknown) => void) =>
    callback(
      names[name] ? null : new Error(`ENOTFOUND ${name}`),
      (names[name] ?? []).map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )) as unknown as typeof lookup;

function make(allowed: string[] = [], names: Record<string, string[]> = {}, timeoutMs = 3000): Poster {
  const poster = createPoster({ rules: new AddressRules(allowed), timeoutMs, lookup: knowing(names) });
  open.push(poster);
  return poster;
}
const loopback = ['127.0.0.0/8'];
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'answered',
    (error) => (error instanceof LowrankError ? error.code : String(error.message || error.name)),
  );

describe('post', () => {
  it('sends headers and body, and gives back the status', async () => {
    let got = '';
    const port = await serve((request, response) => {
      request.on('data', (chunk) => (got += `${request.headers['x-test']} ${chunk}`));
      request.on('end', () => response.writeHead(202).end('thanks'));
    });
    const status = await make(loopback).post(`http://127.0.0.1:${port}/x`, { 'x-test': '1' }, 'body');
    expect([status, got]).toEqual([202, '1 body']);
  });

  it.each([
    '127.0.0.1',
    '127.1',
    '0177.0.0.1',
    '0x7f.0.0.1',
    '2130706433',
    '[::1]',
    '[::ffff:127.0.0.1]',
    'localhost',
    'LOCALHOST.',
    'x.localhost',
  ])('does not knock at loopback as %s', async (host) => {
    let knocks = 0;
    const port = await serve((_request, response) => {
      knocks += 1;
      response.end();
    });
    const poster = make([], { localhost: ['127.0.0.1'], 'x.localhost': ['127.0.0.1'] });
    expect(await codeOf(poster.post(`http://${host}:${port}/`, {}, ''))).toBe('address_refused');
    expect(knocks).toBe(0);
  });

  it('refuses a name that leads to a refused address, be it one of several', async () => {
    const port = await serve((_request, response) => response.end());
    const poster = make([], { 'inside.example': ['127.0.0.1'], 'mixed.example': ['8.8.8.8', '10.0.0.1'] });
    for (const name of ['inside', 'mixed'])
      expect(await codeOf(poster.post(`http://${name}.example:${port}/`, {}, ''))).toBe('address_refused');
    expect(await codeOf(poster.post('http://none.example/', {}, ''))).toContain('ENOTFOUND');
    // What the names of inside are the addresses of is not told.
    const refusal = poster.post(`http://inside.example:${port}/`, {}, '');
    await expect(refusal).rejects.toThrow('inside.example is not a public address.');
  });

  it('looks a name up for every request, and connects to what it has checked', async () => {
    const port = await serve((_request, response) => response.end());
    const names: Record<string, string[]> = { 'moving.example': ['127.0.0.1'] };
    const poster = make(loopback, names);
    expect(await poster.post(`http://moving.example:${port}/`, {}, '')).toBe(200);
    names['moving.example'] = ['10.0.0.1'];
    expect(await codeOf(poster.post(`http://moving.example:${port}/`, {}, ''))).toBe('address_refused');
  });

  it('follows no redirect', async () => {
    const paths: (string | undefined)[] = [];
    const port = await serve((request, response) => {
      paths.push(request.url);
      response.writeHead(307, { location: '/elsewhere' }).end();
    });
    expect(await make(loopback).post(`http://127.0.0.1:${port}/here`, {}, '')).toBe(307);
    expect(paths).toEqual(['/here']);
  });

  it('reads no more than some of an endless answer', async () => {
    let sent = 0;
    const port = await serve((_request, response) => {
      const chunk = Buffer.alloc(16 * 1024);
      const write = () => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.length;
        if (!response.destroyed) response.once('drain', write);
      };
      write();
    });
    expect(await make(loopback).post(`http://127.0.0.1:${port}/`, {}, '')).toBe(200);
    expect(sent).toBeLessThan(16 * 2 ** 20);
  });

  it.each([
    ['says nothing', () => undefined],
    ['never ends', (_request: unknown, response: Parameters<RequestListener>[1]) => response.write('x')],
  ] as const)('gives up on a server that %s', async (_title, listener) => {
    const port = await serve(listener as RequestListener);
    const started = performance.now();
    expect(await codeOf(make(loopback, {}, 300).post(`http://127.0.0.1:${port}/`, {}, ''))).toMatch(
      /timeout|abort/i,
    );
    expect(performance.now() - started).toBeLessThan(2500);
  });
});

describe('checkOutboundUrl', () => {
  it('says at once what a URL gives away, and leaves names for later', () => {
    const rules = new AddressRules();
    for (const host of ['169.254.169.254', '0xa9fea9fe', '[fd00:ec2::254]', 'localhost'])
      expect(() => checkOutboundUrl(`http://${host}/latest/meta-data`, rules)).toThrow(
        'not a public address',
      );
    checkOutboundUrl('https://hooks.example/x', rules);
    checkOutboundUrl('http://127.0.0.1/', new AddressRules(loopback));
  });
});
