import { loadConfig } from '@lowrank/config';
import { makeApiKeySecret } from '@lowrank/domain';
import fastify from 'fastify';
import { EventEmitter, once } from 'node:events';
import pino from 'pino';
import { loggingOf, logRequests } from './logging';
import { requestIdOf } from './request-id';

describe('a request', () => {
  const lines: string[] = [];
  const server = fastify({ genReqId: requestIdOf, forceCloseConnections: true });
  const { pinoHttp: options } = loggingOf(loadConfig({ LOWRANK_LOG_LEVEL: 'trace' }));
  logRequests(server, pino(options, { write: (line: string) => void lines.push(line) }));
  server.post('/api/v1/jobs', async () => ({ ok: true }));
  server.get('/health', async () => ({ ok: true }));
  const slow = new EventEmitter();
  server.get('/slow', (_request, reply) => {
    reply.raw.once('close', () => slow.emit('closed'));
    slow.emit('arrived');
  });
  let url: string;
  beforeAll(async () => (url = await server.listen({ port: 0, host: '127.0.0.1' })));
  beforeEach(() => (lines.length = 0));
  afterAll(() => server.close());

  it('is logged by method, path, status and time, and nothing that could be a secret', async () => {
    const secret = makeApiKeySecret();
    await fetch(`${url}/api/v1/jobs?query=private`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${secret}`,
        cookie: 'session=hidden',
        'content-type': 'application/json',
      },
      body: '{"a": "prompt"}',
    });
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({
        level: 30,
        req: { method: 'POST', path: '/api/v1/jobs', id: expect.any(String) },
        res: { statusCode: 200 },
        responseTime: expect.any(Number),
        msg: 'request completed',
      }),
    ]);
    expect(lines.join()).not.toMatch(/lrk_|hidden|private|prompt/);
  });

  it('that is refused is logged as a warning, and one for health not at all', async () => {
    await fetch(`${url}/nowhere`);
    await fetch(`${url}/health`);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ level: 40, req: expect.objectContaining({ path: '/nowhere' }) }),
    ]);
  });

  it('whose client leaves is logged all the same', async () => {
    const client = new AbortController();
    const [arrived, closed] = [once(slow, 'arrived'), once(slow, 'closed')];
    const answer = fetch(`${url}/slow`, { signal: client.signal }).catch(() => undefined);
    await arrived;
    client.abort();
    await Promise.all([answer, closed]);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ msg: 'request aborted' });
  });
});
