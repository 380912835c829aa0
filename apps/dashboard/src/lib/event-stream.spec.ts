import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { ApiError } from './api';
import { eventStreamParser, followEvents, type ServerSentEvent } from './event-stream';

describe('eventStreamParser', () => {
  it('reads events however the stream is cut, and leaves comments out', () => {
    const text = ': hello\nid: 1\nevent: log\ndata: one\ndata: two\n\nid: 2\r\ndata:three\r\n\r\ndata: open';
    const whole: ServerSentEvent[] = [
      { event: 'log', id: '1', data: 'one\ntwo' },
      { event: 'message', id: '2', data: 'three' },
    ];
    const parse = eventStreamParser();
    expect([...text].flatMap((letter) => parse(letter))).toEqual(whole);
    expect(eventStreamParser()(text)).toEqual(whole);
  });
});

describe('followEvents', () => {
  let server: Server;
  let url: string;
  /** How each request is answered, and the event that it asked to go on from. */
  let answers: ((response: ServerResponse, request: IncomingMessage) => void)[];
  let asked: (string | undefined)[];

  beforeEach(async () => {
    asked = [];
    server = createServer((request, response) => {
      asked.push(request.headers['last-event-id'] as string | undefined);
      const answer = answers.shift();
      if (answer === undefined) response.writeHead(500).end();
      else answer(response, request);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/stream`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  const sends = (text: string, end: 'end' | 'cut' | 'open') => (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(text, () => {
      if (end === 'end') response.end();
      if (end === 'cut') response.destroy();
    });
  };
  const refuses = (status: number) => (response: ServerResponse) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: { code: 'some_code', message: 'No.', help: 'Ask why.' } }));
  };
  /** Follows until `last` has come. */
  const follow = async (last: string, from?: string) => {
    const told: string[] = [];
    const signal = AbortSignal.timeout(20_000);
    const done = followEvents(url, {
      ...{ signal, from, firstPause: 5, longestPause: 20 },
      onEvents: (events) => {
        told.push(...events.map(({ data }) => data));
        return told.includes(last);
      },
      onState: (state) => told.push(state),
    });
    await done;
    return told;
  };

  it('goes on after the last event when the stream ends, is cut off, or the server is away', async () => {
    answers = [
      sends('id: 1\ndata: a\n\n', 'end'),
      refuses(503),
      refuses(429),
      sends('id: 2\ndata: b\n\nid: 3\ndata: half', 'cut'),
      sends('id: 3\ndata: c\n\n', 'open'),
    ];
    expect(await follow('c')).toEqual([
      ...['live', 'a', 'waiting', 'waiting', 'waiting'],
      ...['live', 'b', 'waiting', 'live', 'c'],
    ]);
    expect(asked).toEqual([undefined, '1', '1', '1', '2']);
  });

  it('begins after the event that it is told', async () => {
    answers = [sends('id: 9\ndata: z\n\n', 'open')];
    await follow('z', '8');
    expect(asked).toEqual(['8']);
  });

  it('keeps its place through events that have none', async () => {
    answers = [sends('id: 4\ndata: a\n\ndata: b\n\n', 'end'), sends('data: c\n\n', 'open')];
    await follow('c');
    expect(asked).toEqual([undefined, '4']);
  });

  it.each([401, 404, 422])('ends at what is refused with %s', async (status) => {
    answers = [sends('id: 1\ndata: a\n\n', 'end'), refuses(status)];
    const failure = await follow('never').catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ApiError);
    expect(failure).toMatchObject({ status, code: 'some_code', message: 'No.', help: 'Ask why.' });
    expect(asked).toHaveLength(2);
  });

  it('stops when nobody follows any more, while it waits too', async () => {
    const left = new AbortController();
    const closed = new Promise<void>((resolve) => {
      answers = [
        (response, request) => {
          request.on('close', resolve);
          sends('data: a\n\n', 'open')(response);
        },
      ];
    });
    const options = { onEvents: () => false, onState: () => undefined, firstPause: 60_000 };
    const open = followEvents(url, {
      ...options,
      signal: left.signal,
      onEvents: () => (left.abort(), false),
    });
    await open;
    await closed;
    answers = [refuses(503)];
    const again = new AbortController();
    await followEvents(url, {
      ...options,
      signal: again.signal,
      onState: () => setImmediate(() => again.abort()),
    });
    expect(asked).toHaveLength(2);
  });
});
