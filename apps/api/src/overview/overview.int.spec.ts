import { overviewSchema } from '@lowrank/contracts';
import { TestApi } from '../test/api';
import { submit } from '../test/job';
import { followOverview } from './overview-stream';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
});
afterAll(() => api.close());

/** The next event of a stream of server-sent events. */
async function next(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  let text = '';
  while (!text.endsWith('\n\n')) text += new TextDecoder().decode((await reader.read()).value);
  return text;
}

it('tells the team where its work stands, at once and whenever that changes', async () => {
  const path = '/api/v1/overview';
  expect(await api.call('GET', path, 200, { key: api.viewerKey })).toMatchObject({
    queued: [],
    running: [],
    failed: [],
    use: { team: { id: api.teamId, name: 'test' }, trainedTokens: 0, queued: 0, maxQueued: null },
  });
  const stream = await api.fetch('GET', `${path}/stream`, { key: api.viewerKey });
  expect(stream.headers.get('content-type')).toContain('text/event-stream');
  const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
  expect(await next(reader)).toMatch(/^event: overview\ndata: \{/);
  await submit(api, { placement: { deviceClasses: ['h100'] } });
  const changed = overviewSchema.parse(JSON.parse((await next(reader)).split('data: ')[1] ?? ''));
  expect(changed.queued).toEqual([{ deviceClass: 'h100', count: 1 }]);
  await reader.cancel();
});

it('keeps the connection alive while nothing changes', async () => {
  const overview = overviewSchema.parse(await api.call('GET', '/api/v1/overview', 200));
  const left = new AbortController();
  let looks = 0;
  const look = async () => ({ ...overview, at: new Date(Date.UTC(2026, 0, 1, 0, ++looks)).toISOString() });
  const parts = followOverview(look, { signal: left.signal, pollMs: 1, keepAliveMs: 5 });
  expect((await parts.next()).value).toContain('event: overview');
  expect((await parts.next()).value).toBe(': keep-alive\n\n');
  expect(looks).toBeGreaterThan(1);
  left.abort();
  expect((await parts.next()).done).toBe(true);
});

it('queues failed jobs again in one request', async () => {
  const jobs = [await submit(api), await submit(api)];
  for (const { id } of jobs) await api.call('POST', `/api/v1/jobs/${id}/cancel`, 200);
  const ids = jobs.map(({ id }) => id);
  const answer = await api.call('POST', '/api/v1/jobs/retry', 200, { json: { jobs: ids } });
  expect(answer).toMatchObject({ retried: [{ state: 'queued', epoch: 2 }, { epoch: 2 }], refused: [] });
  expect(await api.refusal('POST', '/api/v1/jobs/retry', { json: { jobs: ids } })).toMatchObject({
    code: 'illegal_transition',
  });
  expect(await api.refusal('POST', '/api/v1/jobs/retry', { json: { jobs: [ids[0], ids[0]] } })).toMatchObject(
    {
      code: 'validation_failed',
    },
  );
});
