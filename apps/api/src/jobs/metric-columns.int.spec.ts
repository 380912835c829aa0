import { type JobMetric, type JobMetricColumns } from '@lowrank/contracts';
import { endAttempt, reportMetrics } from '@lowrank/domain';
import { TestApi } from '../test/api';
import { metric, startAttempt, submit } from '../test/job';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
});
afterAll(() => api.close());

it('has metrics by columns, compressed, and a stream that goes on from them', async () => {
  const job = await submit(api);
  const attempt = await startAttempt(api, job, 5000);
  const steps = Array.from({ length: 2000 }, (_, i) => metric(i + 1));
  await reportMetrics(api.ports, attempt, { metrics: [metric(0, 'eval'), ...steps], trainedTokens: 1 });
  const path = `/api/v1/jobs/${job.id}/metrics/columns`;
  const get = (query = '') => api.call<JobMetricColumns>('GET', path + query, 200);
  const columns = await get();
  expect(columns.train.step).toEqual(steps.map(({ step }) => step));
  expect(columns.train.loss).toEqual(steps.map(({ loss }) => loss));
  expect(columns.eval).toMatchObject({ step: [0], accuracy: [0.5], learningRate: null });
  const asked = async (encoding: string) => {
    const { headers } = await api.fetch('GET', path, { headers: { 'accept-encoding': encoding } });
    return [headers.get('content-encoding'), headers.get('vary')];
  };
  expect(await asked('br, gzip')).toEqual(['gzip', 'accept-encoding']);
  expect(await asked('identity')).toEqual([null, 'accept-encoding']);
  expect((await get('?afterStep=1999')).train.step).toEqual([2000]);
  expect(await get('?afterStep=2000')).toMatchObject({ train: { step: [] }, cursor: columns.cursor });

  await reportMetrics(api.ports, attempt, { metrics: [metric(2001)], trainedTokens: 2 });
  await api.call('POST', `/api/v1/jobs/${job.id}/cancel`, 200);
  await endAttempt(api.ports, attempt, { type: 'cancelled' });
  const headers = { 'last-event-id': columns.cursor };
  const told = await (await api.fetch('GET', `/api/v1/jobs/${job.id}/stream`, { headers })).text();
  const of = <T>(event: string) =>
    [...told.matchAll(/^event: (\w+)\nid: .*\ndata: (.*)$/gm)].flatMap(([, name, data = '']) =>
      name === event ? [JSON.parse(data) as T] : [],
    );
  expect(of<JobMetric>('metric').map(({ step }) => step)).toEqual([2000, 2001]);
  expect(of<{ seq: number }>('event')[0]?.seq).toBe(1);
});
