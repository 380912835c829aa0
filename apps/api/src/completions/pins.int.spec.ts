import { type ErrorBody, type PinStatus } from '@lowrank/contracts';
import { setTimeout as sleep } from 'node:timers/promises';
import { refused } from '../test/openai';
import { ServedApi } from '../test/served-api';
import { PinKeeper } from './pin-keeper';

let served: ServedApi;
beforeAll(async () => {
  served = await ServedApi.start(1);
}, 120_000);
afterAll(() => served.close());

const call = (method: string, path: string, options: { key?: string; json?: unknown } = {}) =>
  served.api.fetch(method, `/api/v1/${path}`, options);
const pins = async (): Promise<PinStatus[]> =>
  ((await (await call('GET', 'pins')).json()) as { data: PinStatus[] }).data;
const move = async (version: string) =>
  expect((await call('PUT', 'adapters/captain/aliases/prod', { json: { version } })).status).toBe(200);

it('loads a version ahead, for members', async () => {
  const prefetch = (key: string, json: unknown = {}) =>
    call('POST', 'adapters/captain/versions/v1/prefetch', { key, json });
  expect((await prefetch(served.api.viewerKey)).status).toBe(403);
  expect(await served.health(0)).toMatchObject({ adapters: 0 });
  // There is but one server, however many are asked for.
  const response = await prefetch(served.api.memberKey, { servers: 3 });
  expect([response.status, await response.json()]).toEqual([
    200,
    { adapter: 'captain', version: 1, servers: 1 },
  ]);
  expect(await served.health(0)).toMatchObject({ bases: 1, adapters: 1 });
});

it('keeps pinned what an alias stands on, over its moves and restarts of the server', async () => {
  await move('v1');
  expect((await call('PUT', 'adapters/captain/pins/prod', { key: served.api.memberKey })).status).toBe(403);
  const made = await call('PUT', 'adapters/captain/pins/prod');
  expect([made.status, await made.json()]).toEqual([
    200,
    { adapter: 'captain', ref: 'prod', createdAt: expect.any(String), createdBy: expect.any(String) },
  ]);
  expect(await pins()).toMatchObject([{ ref: 'prod', version: 1, state: 'loaded', reason: null }]);
  expect((await pins())[0]?.bytes).toBeGreaterThan(0);

  await move('v2');
  while ((await pins())[0]?.state !== 'loaded') await sleep(20);
  expect(await pins()).toMatchObject([{ ref: 'prod', version: 2 }]);

  await served.stopServer(0);
  expect(await pins()).toMatchObject([{ ref: 'prod', version: 2, state: 'waiting', bytes: 0 }]);
  await served.startServer(0);
  while ((await pins())[0]?.state !== 'loaded') await sleep(20);

  expect((await call('DELETE', 'adapters/captain/pins/prod')).status).toBe(204);
  expect((await call('DELETE', 'adapters/captain/pins/prod')).status).toBe(404);
  expect(await pins()).toEqual([]);
  const log = (await (await call('GET', 'audit?action=pins.write')).json()) as { data: object[] };
  expect(log.data).toMatchObject([
    { change: 'unpin', target: { kind: 'adapter', name: 'captain@prod' } },
    { change: 'pin', target: { kind: 'adapter', name: 'captain@prod' } },
  ]);
}, 60_000);

it('tells a server again what it has forgotten, and says what an alias that is gone stands for', async () => {
  await move('v1');
  expect((await call('PUT', 'adapters/captain/pins/prod')).status).toBe(200);
  expect((await call('DELETE', 'adapters/captain/aliases/prod')).status).toBe(204);
  expect(await pins()).toMatchObject([
    { ref: 'prod', version: null, state: 'waiting', reason: 'It stands for no version now.' },
  ]);
  await move('v2');
  served.api.app.get(PinKeeper).tellSoon();
  while ((await pins())[0]?.state !== 'loaded') await sleep(20);
  expect((await call('DELETE', 'adapters/captain/pins/prod')).status).toBe(204);
});

it('refuses to pin what is not there', async () => {
  const response = await call('PUT', 'adapters/captain/pins/v9');
  const { error } = (await response.json()) as ErrorBody;
  expect([response.status, error.code]).toEqual([404, 'not_found']);
  expect(await pins()).toEqual([]);
});

describe('at a server without the memory', () => {
  let small: ServedApi;
  beforeAll(async () => {
    small = await ServedApi.start(1, { LOWRANK_SERVE_MEMORY: String(2 ** 20) });
  }, 120_000);
  afterAll(() => small.close());

  it('is refused with what is needed, and nothing is written down', async () => {
    const response = await small.api.fetch('PUT', '/api/v1/adapters/captain/pins/v1');
    const { error } = (await response.json()) as ErrorBody;
    expect([response.status, error.code]).toEqual([503, 'server_memory_short']);
    expect(error.message).toMatch(/^captain@v1 is not pinned: tiny needs .* MiB of memory here/);
    const listed = (await (await small.api.fetch('GET', '/api/v1/pins')).json()) as { data: PinStatus[] };
    expect(listed.data).toEqual([]);
    const messages = [{ role: 'user' as const, content: '1+2' }];
    expect(await refused(small.client.chat.completions.create({ model: 'tiny', messages }))).toMatchObject({
      ...{ status: 503, code: 'server_memory_short' },
      message: expect.stringContaining('available'),
    });
  });
});
