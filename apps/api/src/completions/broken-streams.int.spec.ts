import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { ServedApi } from '../test/served-api';

let served: ServedApi;
beforeAll(async () => {
  // A server that is told to leave breaks off what it has begun.
  served = await ServedApi.start(1, { LOWRANK_SERVE_DRAIN_SECONDS: '0' });
}, 120_000);
afterAll(() => served.close());

const long = { model: 'tiny', max_tokens: 200, n: 4, logit_bias: { 97: 100 }, stream: true } as const;
type Chunk = OpenAI.ChatCompletionChunk | OpenAI.Completion;
const kinds: [string, () => Promise<AsyncIterable<Chunk>>][] = [
  [
    'chat',
    () => served.client.chat.completions.create({ ...long, messages: [{ role: 'user', content: '1+2' }] }),
  ],
  ['text', () => served.client.completions.create({ ...long, prompt: '1+2' })],
];

/** What the client throws when its server gets a signal after the first pieces, and how many pieces came. */
async function interrupted(begin: () => Promise<AsyncIterable<Chunk>>, signal: NodeJS.Signals) {
  const server = served.servers[0] as ChildProcess;
  const gone = once(server, 'exit');
  let pieces = 0;
  const reading = (async () => {
    for await (const chunk of await begin()) if (chunk && (pieces += 1) === 3) server.kill(signal);
  })();
  const thrown: unknown = await reading.then(
    () => 'the stream ended as if it were whole',
    (error) => error,
  );
  await gone;
  await served.startServer(0);
  while ((await served.health(0)) === null) await sleep(50);
  return { thrown, pieces };
}

it.each(kinds)(
  'ends a stream of %s that fails in its middle by an error of OpenAI’s shape',
  async (_kind, begin) => {
    const { thrown, pieces } = await interrupted(begin, 'SIGTERM');
    expect(pieces).toBeGreaterThanOrEqual(3);
    expect(thrown).toBeInstanceOf(OpenAI.APIError);
    expect(thrown).toMatchObject({
      ...{ code: 'server_draining', type: 'server_error', param: null },
      error: { message: expect.stringContaining('had to leave before the answer was whole') },
    });
  },
);

it.each(kinds)('ends a stream of %s whose server is killed by an error too', async (_kind, begin) => {
  const { thrown, pieces } = await interrupted(begin, 'SIGKILL');
  expect(pieces).toBeGreaterThanOrEqual(3);
  expect(thrown).toBeInstanceOf(OpenAI.APIError);
  expect(thrown).toMatchObject({
    ...{ code: 'server_unavailable', type: 'server_error', param: null },
    error: { message: expect.stringContaining('The server broke off.') },
  });
});
