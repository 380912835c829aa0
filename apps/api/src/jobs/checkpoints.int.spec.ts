import { type AdapterVersion, type JobCheckpoint } from '@lowrank/contracts';
import { blobKey } from '@lowrank/storage';
import { TestApi } from '../test/api';
import { keep, publish, startAttempt, submit } from '../test/job';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
});
afterAll(() => api.close());

const list = async (job: string) =>
  (await api.call<{ data: JobCheckpoint[] }>('GET', `/api/v1/jobs/${job}/checkpoints`, 200)).data;
const promote = <T = AdapterVersion>(job: string, step: number, status = 200) =>
  api.call<T>('POST', `/api/v1/jobs/${job}/checkpoints/${step}/promote`, status);
const error = { error: { code: expect.any(String) as string } };

it('keeps states of a job that trains, and makes one of them a version, once', async () => {
  const job = await submit(api, { adapter: 'captain' });
  const attempt = await startAttempt(api, job);
  expect(await list(job.id)).toEqual([]);
  for (const [step, loss] of [
    [2, 1],
    [4, 3],
    [6, 2],
    [8, 4],
  ] as const)
    await keep(api, attempt, step, loss);
  expect((await list(job.id)).map(({ step, isBest }) => [step, isBest])).toEqual([
    [8, false],
    [6, false],
    [2, true],
  ]);

  const versions = await Promise.all([2, 2, 2].map((step) => promote(job.id, step)));
  expect(new Set(versions.map(({ id }) => id)).size).toBe(1);
  expect(versions[0]).toMatchObject({ adapter: 'captain', number: 1, jobId: job.id, checkpointStep: 2 });
  const path = '/api/v1/adapters/captain/versions/1/files/adapter_model.safetensors';
  const file = await api.fetch('GET', path);
  expect(await file.text()).toBe(`weights of ${job.id} after step 2`);
  const lineage = await api.call<{ edges: unknown[] }>(
    'GET',
    '/api/v1/adapters/captain/versions/1/lineage',
    200,
  );
  expect(lineage.edges).toContainEqual({ from: job.id, to: versions[0]?.id, kind: 'job', step: 2 });
  const audit = await api.call<{ data: { change: string; details: unknown }[] }>('GET', '/api/v1/audit', 200);
  expect(audit.data.find(({ change }) => change === 'promote')).toMatchObject({
    target: { kind: 'version', name: 'captain@v1' },
    details: { job: job.id, step: 2 },
  });
  const { data: events } = await api.call<{ data: { message: string }[] }>(
    'GET',
    `/api/v1/jobs/${job.id}/events`,
    200,
  );
  expect(events.at(-1)?.message).toBe('The checkpoint of step 2 was published as captain v1.');

  await publish(api, attempt, { 'adapter_config.json': Buffer.from('{}') });
  expect((await list(job.id)).map(({ step, version }) => [step, version])).toEqual([
    [10, 2],
    [8, null],
    [6, null],
    [2, 1],
  ]);
  expect(await promote(job.id, 10)).toMatchObject({ number: 2 });
  expect(await promote(job.id, 8)).toMatchObject({ number: 3, checkpointStep: 8 });
});

it('makes no version of what is not kept, damaged or gone', async () => {
  const job = await submit(api, { adapter: 'sailor' });
  const attempt = await startAttempt(api, job);
  const { files } = await keep(api, attempt, 4);
  expect(await promote(job.id, 5, 404)).toMatchObject({ error: { code: 'not_found' } });
  expect(await promote(job.id, 0, 400)).toMatchObject(error);
  const key = blobKey(files[0]?.sha256 ?? '');
  await api.store.put(key, Buffer.from('damaged'), { bytes: 7 });
  expect(await promote(job.id, 4, 500)).toMatchObject({ error: { code: 'integrity_failed' } });
  await api.store.delete(key);
  expect(await promote(job.id, 4, 404)).toMatchObject({ error: { code: 'not_found' } });
  expect(await list(job.id)).toMatchObject([{ step: 4, version: null }]);
  expect(await api.call('GET', '/api/v1/adapters/sailor', 200)).toMatchObject({ latestVersion: null });
});
