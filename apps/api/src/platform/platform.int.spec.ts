import { type Page, type QueueInspection, type Service } from '@lowrank/contracts';
import { makeWorker } from '@lowrank/testing';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { TestApi } from '../test/api';
import { submit } from '../test/job';

const token = 'a-token-of-prometheus-0123456789';
const server = createServer((_request, response) => response.end('{"status":"ok","bases":1,"adapters":3}'));
let api: TestApi;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const there = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  api = await TestApi.start({
    LOWRANK_SERVE_URLS: `${there},http://lowrank:hidden-word@127.0.0.1:1`,
    LOWRANK_SERVE_TOKEN: 'a-token-of-servers-0123456789',
    LOWRANK_METRICS_TOKEN: token,
  });
  await api.importTiny();
  await mkdir(join(api.folder, 'data', 'objects'), { recursive: true });
});
afterAll(async () => {
  await api.close();
  server.close();
});

it('tells how each service stands, and why one fails', async () => {
  const { data } = await api.call<{ data: Service[] }>('GET', '/api/v1/platform/services', 200);
  expect(data).toMatchObject([
    { service: 'database', type: 'postgres', state: 'ok', version: expect.stringMatching(/^\d+/) },
    { service: 'queue', type: 'postgres', state: 'ok' },
    { service: 'store', type: 'folder', state: 'ok', detail: expect.stringMatching(/GiB free$/) },
    { service: 'server', state: 'ok', detail: '1 bases, 3 adapters' },
    { service: 'server', state: 'failing', version: null },
  ]);
  expect(data[4]?.detail).not.toBe('');
  expect(JSON.stringify(data)).not.toContain('hidden-word');
});

it('tells settings, and no secret', async () => {
  const answer = await api.call<{ version: string; settings: { name: string; value: string | null }[] }>(
    'GET',
    '/api/v1/platform/settings',
    200,
  );
  const settings = new Map(answer.settings.map(({ name, value }) => [name, value]));
  expect(settings.get('slots')).toBe('1');
  expect(settings.get('metricsToken')).toBe('***');
  expect(settings.get('serve.urls')).toContain('http://lowrank:***@127.0.0.1:1');
  expect(settings.get('hubUrl')).toBeNull();
  expect(JSON.stringify(answer)).not.toMatch(new RegExp(`${token}|a-token-of-servers|hidden-word`));
});

it('tells what waits, page by page, and what workers have in their queues', async () => {
  const worker = makeWorker({ seenAt: api.ports.clock.now() });
  await api.ports.unitOfWork.run(({ workers }) => workers.upsert(worker));
  const jobs = [await submit(api), await submit(api)];
  const look = (query = '') => api.call<QueueInspection>('GET', `/api/v1/platform/queue${query}`, 200);
  const first = await look('?limit=1');
  expect(first).toMatchObject({
    data: [{ id: jobs[0]?.id, team: { name: 'test' }, waitingFor: null, assignedTo: null }],
    hasMore: true,
    wakeUps: [{ workerId: worker.id, waiting: 0, active: 0 }],
  });
  expect(first.outbox.entries).toBeGreaterThan(0);
  expect((await look(`?after=${jobs[0]?.id}`)).data.map(({ id }) => id)).toEqual([jobs[1]?.id]);
  expect(await api.call('GET', '/api/v1/platform/overview', 200)).toMatchObject({
    workers: [{ deviceClass: 'cpu', workers: 1 }],
    teams: [{ team: { name: 'test' }, queued: 2 }],
  });
});

it('is for admins of the operator alone', async () => {
  for (const part of ['overview', 'queue', 'services', 'settings'])
    expect(await api.refusal('GET', `/api/v1/platform/${part}`, { key: api.memberKey })).toMatchObject({
      status: 403,
    });
  const { data } = await api.call<Page<unknown>>('GET', '/api/v1/audit', 200);
  expect(data.length).toBeGreaterThan(0);
});
