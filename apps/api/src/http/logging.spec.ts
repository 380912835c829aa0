import { loadConfig } from '@lowrank/config';
import { makeApiKeySecret } from '@lowrank/domain';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import { pinoHttp, type Options } from 'pino-http';
import { loggingOf } from './logging';
import { requestIdOf } from './request-id';

it('logs method, path and status of a request, and nothing that could be a secret', async () => {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const log = pinoHttp(loggingOf(loadConfig({ LOWRANK_LOG_LEVEL: 'trace' })).pinoHttp as Options, stream);
  const server = createServer((request, response) => {
    requestIdOf(request);
    log(request, response);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const secret = makeApiKeySecret();
  const headers = { authorization: `Bearer ${secret}`, cookie: 'session=hidden' };
  const url = `http://127.0.0.1:${port}/api/v1/jobs?query=private`;
  await fetch(url, { method: 'POST', headers, body: 'prompt' });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));

  expect(JSON.parse(text)).toMatchObject({
    req: { method: 'POST', path: '/api/v1/jobs', id: expect.any(String) },
    res: { statusCode: 200 },
  });
  expect(text).not.toMatch(/lrk_|hidden|private|prompt/);
});
