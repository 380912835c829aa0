import { type ChildProcess } from 'node:child_process';
import { ServedApi } from '../test/served-api';
import { Servers } from './servers';

/* Several servers behind one address, each with room for one adapter that nobody uses. */
let served: ServedApi;
beforeAll(async () => {
  served = await ServedApi.start(2, { LOWRANK_SERVE_ADAPTERS: '1' });
}, 120_000);
afterAll(() => served.close());

const body = { messages: [{ role: 'user' as const, content: '1+2' }], temperature: 0, max_tokens: 8 };
const ask = async (model: string): Promise<string> => {
  const { choices } = await served.client.chat.completions.create({ ...body, model });
  return choices[0]?.message.content ?? '';
};
/** Adapters that each server has opened so far. */
const opened = () =>
  Promise.all(
    served.ports.map(async (port) => {
      const headers = { authorization: 'Bearer a-token-of-these-tests' };
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`, { headers })).text();
      return Number(/^lowrank_serve_loads_total\{kind="adapter"\} (\d+)$/m.exec(text)?.[1]);
    }),
  );

it('sends requests for one adapter to one server, and different adapters to different ones', async () => {
  for (let seed = 3; seed <= 14; seed += 1) await served.publish(seed);
  const before = await opened();
  for (let version = 1; version <= 14; version += 1)
    for (let i = 0; i < 3; i += 1) await ask(`captain@v${version}`);
  const loads = (await opened()).map((count, i) => count - (before[i] as number));
  expect(loads.reduce((sum, count) => sum + count, 0)).toBe(14);
  expect(Math.min(...loads)).toBeGreaterThan(0);
}, 60_000);

it('fails no request while an alias moves over versions that are in no memory', async () => {
  const move = (version: string) =>
    served.api.call('PUT', '/api/v1/adapters/captain/aliases/prod', 200, { json: { version } });
  const versions = ['v3', 'v4', 'v5', 'v6'];
  const texts = new Map<string, string>();
  for (const version of [...versions, 'v7']) texts.set(version, await ask(`captain@${version}`));
  await served.api.fetch('PUT', '/api/v1/adapters/captain/aliases/prod', { json: { version: 'v7' } });
  const answers: string[] = [];
  let going = true;
  const clients = Array.from({ length: 3 }, async () => {
    while (going) answers.push(await ask('captain@prod'));
  });
  for (const version of versions) {
    // Something else takes the only place.
    await ask('captain@v14');
    await move(version);
    expect(await ask('captain@prod')).toBe(texts.get(version));
  }
  going = false;
  await Promise.all(clients);
  expect([...texts.values()]).toEqual(expect.arrayContaining([...new Set(answers)]));
  expect(answers.length).toBeGreaterThan(versions.length);
}, 60_000);

it('goes to another server when one is frozen, before and while it answers', async () => {
  const servers = served.api.app.get(Servers);
  const usual = servers.watching;
  servers.watching = { everyMs: 100, patienceMs: 300 };
  const before = await opened();
  const expected = await ask('captain@v8');
  const after = await opened();
  // Which one it lives at: it was opened there just now, or is the last that was asked for there.
  const at = Math.max(
    0,
    after.findIndex((count, i) => count > (before[i] as number)),
  );
  const frozen = served.servers[at] as ChildProcess;
  frozen.kill('SIGSTOP');
  try {
    expect(await ask('captain@v8')).toBe(expected);
  } finally {
    frozen.kill('SIGCONT');
  }
  const long = {
    ...body,
    model: 'captain@v9',
    max_tokens: 200,
    logit_bias: { 97: 100 },
    stream: true,
  } as const;
  const stream = await served.client.chat.completions.create(long);
  let stopped: ChildProcess | undefined;
  const reading = (async () => {
    for await (const { choices } of stream) {
      if (stopped !== undefined || choices.length === 0) continue;
      const running = await Promise.all(served.ports.map((_, i) => served.health(i)));
      stopped = served.servers[running.findIndex((one) => (one?.running ?? 0) > 0)];
      stopped?.kill('SIGSTOP');
    }
  })();
  try {
    // It ends, and not as if the answer were whole.
    await expect(reading).rejects.toThrow();
  } finally {
    stopped?.kill('SIGCONT');
    servers.watching = usual;
  }
}, 60_000);
