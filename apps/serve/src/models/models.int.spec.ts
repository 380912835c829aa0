import { type PinState, type ServeTarget } from '@lowrank/contracts';
import { randomIds } from '@lowrank/domain';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Served, token, World } from '../test/world';

/* What stays in a server's memory and on its disk, and what is refused. */
let world: World;
beforeAll(async () => {
  world = await World.make();
}, 60_000);
afterAll(() => world.end());

let served: Served | null = null;
afterEach(async () => {
  await served?.close();
  served = null;
});
const serve = async (options: Parameters<World['serve']>[0]): Promise<Served> =>
  (served = await world.serve(options));

const ask = (server: Served, target: ServeTarget) =>
  server.send(target, {
    kind: 'chat',
    body: { model: 'm', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1 },
  });
const pin = async (server: Served, ...targets: ServeTarget[]): Promise<PinState[]> => {
  const response = await server.ask('PUT', '/v1/pins', token, { targets });
  expect(response.status).toBe(200);
  return ((await response.json()) as { pins: PinState[] }).pins;
};
const metric = async (server: Served, name: string): Promise<number> => {
  const text = await (await server.ask('GET', '/metrics')).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
};
const idOf = ({ adapter }: ServeTarget): string => adapter?.id ?? '';
const onDisk = (server: Served) => readdir(join(server.cache, 'adapters'));
/** Memory of the base alone, and of an adapter of rank 4 besides. */
const sizes = async () => {
  const server = await world.serve();
  try {
    const { target } = await world.addAdapter(4);
    const [state] = await pin(server, target);
    const all = await metric(server, 'lowrank_serve_pinned_bytes');
    return { base: all - (state?.bytes ?? 0), adapter: state?.bytes ?? 0 };
  } finally {
    await server.close();
  }
};

it('refuses a base that does not fit, and says what it needs and what is available', async () => {
  const { base } = await sizes();
  const small = await serve({ memoryBytes: base - 1 });
  const refused = await ask(small, world.baseTarget);
  expect(refused.status).toBe(503);
  const { error } = (await refused.json()) as { error: { code: string; message: string } };
  expect(error.code).toBe('server_memory_short');
  const figure = `${(base / 2 ** 20).toFixed(1)} MiB`;
  expect(error.message).toMatch(
    new RegExp(
      `^tiny needs ${figure} of memory here \\(.* for its weights, .* for pages of the cache, .* to work in\\); .* of ${figure} are available\\.$`,
    ),
  );
  expect(await small.health()).toMatchObject({ status: 'ready', bases: 0 });
  await small.close();
  const large = await serve({ memoryBytes: base });
  expect((await ask(large, world.baseTarget)).status).toBe(200);
});

it('refuses an adapter that does not fit beside what is in use, and others make room for one that does', async () => {
  const { base, adapter } = await sizes();
  const [one, two] = [await world.addAdapter(4), await world.addAdapter(4)];
  const small = await serve({ memoryBytes: base + 0.5 * adapter });
  const refused = await ask(small, one.target);
  expect(refused.status).toBe(503);
  const { error } = (await refused.json()) as { error: { code: string; message: string } };
  expect(error).toMatchObject({
    code: 'server_memory_short',
    message: expect.stringMatching(
      /^The adapter needs \d+\.\d MiB of memory here; \d+\.\d MiB of .* are available/,
    ) as string,
  });
  expect((await ask(small, world.baseTarget)).status).toBe(200);
  await small.close();
  // One of them at a time: the other one goes, for nobody holds it.
  const enough = await serve({ memoryBytes: base + 1.5 * adapter });
  for (const { target } of [one, two, one]) expect((await ask(enough, target)).status).toBe(200);
});

it('keeps pairs in bfloat16 where it is told to, counts them as half, and answers', async () => {
  const { base, adapter } = await sizes();
  const { target } = await world.addAdapter(4);
  const server = await serve({ adapterDtype: 'bf16', memoryBytes: base + 0.6 * adapter });
  const [state] = await pin(server, target);
  expect(state).toMatchObject({ state: 'loaded', bytes: adapter / 2 });
  expect((await ask(server, target)).status).toBe(200);
});

it('keeps what is pinned in memory and on disk, whatever else is asked for', async () => {
  const [first, second, third] = [
    await world.addAdapter(2),
    await world.addAdapter(3),
    await world.addAdapter(5),
  ];
  const server = await serve({ diskBytes: 1 });
  expect(await pin(server, first.target)).toEqual([
    { id: idOf(first.target), state: 'loaded', bytes: expect.any(Number), reason: null },
  ]);
  for (const { target } of [second, third]) expect((await ask(server, target)).status).toBe(200);
  // One more than what is pinned stays in memory; on the disk none does.
  expect(await server.health()).toMatchObject({ adapters: 2 });
  expect(await onDisk(server)).toEqual([idOf(first.target)]);
  expect(await metric(server, 'lowrank_serve_evictions_total{kind="file"}')).toBe(2);

  const [state] = await pin(server, second.target);
  expect(state).toMatchObject({ id: idOf(second.target), state: 'loaded' });
  expect((await ask(server, third.target)).status).toBe(200);
  expect(await onDisk(server)).toEqual([idOf(second.target)]);
  expect(await pin(server)).toEqual([]);
  expect(await metric(server, 'lowrank_serve_pinned_bytes')).toBe(0);
});

it('pins again after a restart what was pinned, before anybody asks', async () => {
  const { target } = await world.addAdapter(6);
  const before = await serve({});
  await pin(before, target);
  await before.close();
  const after = await serve({ cache: before.cache });
  expect(await after.health()).toMatchObject({ bases: 1, adapters: 1 });
  const { pins } = (await (await after.ask('GET', '/v1/pins')).json()) as { pins: PinState[] };
  expect(pins).toEqual([{ id: idOf(target), state: 'loaded', bytes: expect.any(Number), reason: null }]);
});

it('begins without pins where what was written down cannot be read', async () => {
  const before = await serve({});
  await before.close();
  await writeFile(join(before.cache, 'pins.json'), '[{');
  const after = await serve({ cache: before.cache });
  expect(await (await after.ask('GET', '/v1/pins')).json()).toEqual({ pins: [] });
});

it('refuses a pin beyond the memory, and one of what is not there, and keeps the others', async () => {
  const { base, adapter } = await sizes();
  const [one, two] = [await world.addAdapter(4), await world.addAdapter(7)];
  const server = await serve({ memoryBytes: base + 1.5 * adapter });
  await pin(server, one.target);
  const [file] = one.target.adapter?.files ?? [];
  const lost = {
    ...one.target,
    adapter: {
      ...one.target.adapter,
      id: randomIds.make('version'),
      files: [{ ...file, sha256: 'a'.repeat(64) }],
    },
  } as ServeTarget;
  const states = await pin(server, one.target, two.target, lost);
  expect(states.map(({ id, state, reason }) => [id, state, reason?.code])).toEqual([
    [idOf(one.target), 'loaded', undefined],
    [idOf(two.target), 'refused', 'server_memory_short'],
    [idOf(lost), 'refused', 'not_found'],
  ]);
  expect(states[1]?.reason?.message).toMatch(
    /^The adapter needs \d+\.\d MiB of memory here; \d+\.\d MiB of .* are available beside what is in use or pinned\.$/,
  );
  expect(await metric(server, 'lowrank_serve_pins{state="refused"}')).toBe(2);
});

it('takes no list that names a base alone', async () => {
  const server = await serve({});
  const response = await server.ask('PUT', '/v1/pins', token, { targets: [world.baseTarget] });
  expect([response.status, (await server.ask('GET', '/v1/pins', 'another')).status]).toEqual([400, 401]);
});
