import { setTimeout as sleep } from 'node:timers/promises';
import { TestApi } from '../test/api';
import { submit } from '../test/job';

const token = 'a-token-of-prometheus-0123456789';
let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start({ LOWRANK_METRICS_TOKEN: token });
  await api.importTiny();
});
afterAll(() => api.close());

const scrape = async (key = token): Promise<string> => {
  const response = await api.fetch('GET', '/metrics', { key });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  return response.text();
};

describe('/metrics', () => {
  it('is for admin keys and for its token, which opens nothing else', async () => {
    await scrape();
    await scrape(api.adminKey);
    expect(await api.refusal('GET', '/metrics', { key: api.memberKey })).toMatchObject({ status: 403 });
    for (const key of [null, `${token}x`, token.slice(1)])
      expect(await api.refusal('GET', '/metrics', { key })).toMatchObject({ status: 401 });
    expect(await api.refusal('GET', '/api/v1/me', { key: token })).toMatchObject({ status: 401 });
  });

  it('counts requests by the pattern of their route, whatever callers make up', async () => {
    await api.fetch('GET', '/api/v1/jobs/job_aaaaaaaaaaaaaaaaaaaaaaaa');
    await api.fetch('GET', '/api/v1/jobs/job_bbbbbbbbbbbbbbbbbbbbbbbb');
    for (const path of ['/made/up', '/made/up/too']) await api.fetch('GET', path);
    const text = await scrape();
    const count = (labels: string) =>
      Number(
        new RegExp(`^lowrank_http_request_duration_seconds_count\\{${labels}\\} (\\d+)$`, 'm').exec(
          text,
        )?.[1],
      );
    expect(count('method="GET",route="/api/v1/jobs/:id",status="404"')).toBe(2);
    expect(count('method="GET",route="none",status="404"')).toBe(2);
    expect(text).not.toMatch(/made|job_a/);
    expect(text).toContain('process_resident_memory_bytes');
  });

  it('tells jobs by state, the depth of the queue and the lag of the outbox', async () => {
    await submit(api);
    await submit(api, { placement: { deviceClasses: ['made-up'] } });
    // What was seen for an earlier scrape counts for five seconds.
    await sleep(5100);
    const text = await scrape();
    expect(text).toContain('lowrank_jobs{state="queued"} 2');
    expect(text).toContain('lowrank_jobs{state="running"} 0');
    expect(text).toContain('lowrank_queue_depth{device_class="any"} 1');
    expect(text).toContain('lowrank_queue_depth{device_class="other"} 1');
    expect(text).toContain('lowrank_outbox_entries 2');
    const lag = Number(/^lowrank_outbox_lag_seconds (\S+)$/m.exec(text)?.[1]);
    expect(lag).toBeGreaterThan(5);
    expect(lag).toBeLessThan(60);
  });
});
