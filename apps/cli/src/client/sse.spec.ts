import { readServerSentEvents, type ServerSentEvent } from './sse';

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield new TextEncoder().encode(text);
}

async function read(...texts: string[]): Promise<ServerSentEvent[]> {
  const events: ServerSentEvent[] = [];
  for await (const event of readServerSentEvents(chunks(...texts))) events.push(event);
  return events;
}

describe('readServerSentEvents', () => {
  it('reads name, data and id', async () => {
    expect(await read('id: 7\nevent: job\ndata: {"a":1}\n\n')).toEqual([
      { event: 'job', data: '{"a":1}', id: '7' },
    ]);
  });

  it('joins lines of data and leaves out comments', async () => {
    expect(await read(': ping\n\ndata: a\ndata:b\n\n')).toEqual([
      { event: 'message', data: 'a\nb', id: null },
    ]);
  });

  it.each(['\n', '\r\n', '\r'])('reads lines ended by %j however the bytes are cut', async (end) => {
    const text = ['event: metric', 'data: {"loss":"…"}', '', 'data: 2', '', ''].join(end);
    const bytes = new TextEncoder().encode(text);
    const events: ServerSentEvent[] = [];
    async function* single(): AsyncGenerator<Uint8Array> {
      for (const byte of bytes) yield Uint8Array.of(byte);
    }
    for await (const event of readServerSentEvents(single())) events.push(event);
    expect(events[0]).toEqual({ event: 'metric', data: '{"loss":"…"}', id: null });
    // A last lone CR may be the first half of CR LF, so what it would end is not known to be whole.
    expect(events).toHaveLength(end === '\r' ? 1 : 2);
  });

  it('yields nothing for an event cut off in the middle', async () => {
    expect(await read('event: job\ndata: {"a"')).toEqual([]);
  });
});
