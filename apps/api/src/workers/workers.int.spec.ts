import { type PlatformOverview, type Worker } from '@lowrank/contracts';
import { makeWorker } from '@lowrank/testing';
import { TestApi } from '../test/api';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
});
afterAll(() => api.close());

const announce = (overrides: Parameters<typeof makeWorker>[0] = {}) =>
  api.ports.unitOfWork.run(({ workers }) =>
    workers.upsert(makeWorker({ seenAt: api.ports.clock.now(), ...overrides })),
  );
const list = async () => (await api.call<{ data: Worker[] }>('GET', '/api/v1/workers', 200)).data;

it('lists workers that are there', async () => {
  const { id } = await announce({ hostname: 'bravo', slots: 3, deviceClass: 'h100' });
  await announce({ hostname: 'alfa' });
  await announce({ seenAt: '2026-01-01T00:00:00.000Z' });
  expect(await list()).toEqual([
    expect.objectContaining({ hostname: 'alfa' }),
    expect.objectContaining({ id, hostname: 'bravo', slots: 3, busy: 0, deviceClass: 'h100', drain: null }),
  ]);
});

it('drains one and lets it work again', async () => {
  const { id } = await announce();
  const drain = (json: unknown) => api.call('POST', `/api/v1/workers/${id}/drain`, 200, { json });
  expect(await drain({})).toMatchObject({ id, drain: 'finish', busy: 0 });
  expect(await drain({ mode: 'checkpoint' })).toMatchObject({ drain: 'checkpoint' });
  expect(await api.call('POST', `/api/v1/workers/${id}/undrain`, 200)).toMatchObject({ drain: null });
});

it('tells what has failed of one, and to Prometheus too, until it is let work again', async () => {
  const { id } = await announce({ deviceClass: 'broken' });
  const failure = { message: 'GPU GPU-1 is gone', at: api.ports.clock.now() };
  await api.ports.unitOfWork.run(({ workers }) => workers.fail(id, failure));
  const find = async () => (await list()).find((worker) => worker.id === id);
  expect(await find()).toMatchObject({ drain: 'checkpoint', failure });
  const overview = await api.call<PlatformOverview>('GET', '/api/v1/platform/overview', 200);
  expect(overview.workers).toContainEqual(expect.objectContaining({ deviceClass: 'broken', failed: 1 }));
  const scraped = await (await api.fetch('GET', '/metrics', { key: api.adminKey })).text();
  expect(scraped).toContain('lowrank_failed_workers{device_class="broken"} 1');
  await api.call('POST', `/api/v1/workers/${id}/undrain`, 200);
  expect(await find()).toMatchObject({ drain: null, failure: null });
});

it('refuses members, strange modes and unknown workers', async () => {
  const { id } = await announce();
  const path = `/api/v1/workers/${id}/drain`;
  expect(await api.refusal('GET', '/api/v1/workers', { key: api.memberKey })).toMatchObject({ status: 403 });
  expect(await api.refusal('POST', path, { json: {}, key: api.memberKey })).toMatchObject({ status: 403 });
  expect(await api.refusal('POST', path, { json: { mode: 'fast' } })).toMatchObject({
    code: 'validation_failed',
  });
  const none = `/api/v1/workers/${api.ports.ids.make('worker')}`;
  expect(await api.refusal('POST', `${none}/drain`, { json: {} })).toMatchObject({ code: 'not_found' });
  expect(await api.refusal('POST', `${none}/undrain`)).toMatchObject({ code: 'not_found' });
});
