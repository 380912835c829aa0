import { LowrankError } from '@lowrank/contracts';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { z } from 'zod';
import { CliError, describeFailure, exitCodes } from '../errors';
import { Http } from './http';

describe('Http', () => {
  let server: Server;
  let answer: RequestListener;
  let url: string;
  beforeAll(async () => {
    server = createServer((request, response) => answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });

  const fails = (work: Promise<unknown>) =>
    work.then(
      () => Promise.reject(new Error('did not fail')),
      (error: unknown) => error,
    );

  it('sends the key and parses the answer', async () => {
    answer = ({ headers }, response) =>
      response.end(JSON.stringify({ authorization: headers.authorization }));
    const body = await new Http(url, 'lrk_x').json('/', z.object({ authorization: z.string() }));
    expect(body.authorization).toBe('Bearer lrk_x');
  });

  it("throws the server's own error", async () => {
    const body = new LowrankError('dataset_invalid', 'Two lines.', [
      { line: 7, message: 'no JSON' },
    ]).toBody();
    answer = (_request, response) => response.writeHead(422).end(JSON.stringify(body));
    const error = await fails(new Http(url, null).response('/'));
    expect(error).toBeInstanceOf(LowrankError);
    const { text, exitCode } = describeFailure(error, false);
    expect(text).toBe(
      'error dataset_invalid: Two lines.\n  line 7: no JSON\nCorrect the lines listed in details and upload again.\n',
    );
    expect(exitCode).toBe(exitCodes.usage);
  });

  it('tells a stranger from a Lowrank server', async () => {
    answer = (_request, response) => response.writeHead(404).end('<html>');
    expect(await fails(new Http(url, null).response('/'))).toMatchObject({
      message: expect.stringContaining('404'),
    });
    answer = (_request, response) => response.end('{"something": "else"}');
    expect(await fails(new Http(url, null).json('/', z.object({ id: z.string() })))).toBeInstanceOf(CliError);
  });

  it('says that nobody answers, after three tries for a GET and one for a POST', async () => {
    let requests = 0;
    answer = (request) => {
      requests += 1;
      request.socket.destroy();
    };
    const error = await fails(new Http(url, null).response('/'));
    expect(describeFailure(error, false).exitCode).toBe(exitCodes.unreachable);
    expect(requests).toBe(3);
    await fails(new Http(url, null).response('/', { method: 'POST' }));
    expect(requests).toBe(4);
  });

  it('follows no redirect, so the key stays with the server it was meant for', async () => {
    let elsewhere = 0;
    answer = (request, response) => {
      if (request.url === '/elsewhere') elsewhere += 1;
      response.writeHead(302, { location: '/elsewhere' }).end();
    };
    await fails(new Http(url, 'lrk_x').response('/'));
    expect(elsewhere).toBe(0);
  });

  it('gives up waiting', async () => {
    answer = () => undefined;
    const error = await fails(new Http(url, null).response('/', { method: 'POST', timeoutMs: 50 }));
    expect(describeFailure(error, false).exitCode).toBe(exitCodes.unreachable);
  });
});
