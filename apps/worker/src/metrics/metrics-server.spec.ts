import { Gauge, Registry } from 'prom-client';
import { MetricsServer } from './metrics-server';

const registry = new Registry();
new Gauge({ name: 'answer', help: 'Of everything.', registers: [registry] }).set(42);
const servers: MetricsServer[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())));

const start = async (token: string | null, port = 0) => {
  const server = new MetricsServer(registry, { host: '127.0.0.1', port, token });
  servers.push(server);
  return server.start();
};
const get = (port: number, path = '/metrics', init?: RequestInit) =>
  fetch(`http://127.0.0.1:${port}${path}`, init);

describe('MetricsServer', () => {
  it('gives the metrics, and nothing else', async () => {
    const port = await start(null);
    const response = await get(port);
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('answer 42')]);
    expect(response.headers.get('content-type')).toBe(registry.contentType);
    expect((await get(port, '/')).status).toBe(404);
    expect((await get(port, '/metrics', { method: 'POST' })).status).toBe(404);
  });

  it('asks for the token, if there is one', async () => {
    const port = await start('a-secret-of-sixteen');
    const as = async (authorization?: string) =>
      (await get(port, '/metrics', { headers: authorization ? { authorization } : {} })).status;
    expect(await as()).toBe(401);
    expect(await as('Bearer a-secret-of-sixteeN')).toBe(401);
    expect(await as('Bearer a-secret-of-sixteen')).toBe(200);
    expect(await (await get(port, '/health')).text()).toBe('ok\n');
  });

  it('rejects when its port is taken, and can be stopped all the same', async () => {
    const port = await start(null);
    await expect(start(null, port)).rejects.toThrow('EADDRINUSE');
  });
});
