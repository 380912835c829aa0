import { type FileLinks, type JobDetail, type VersionExport } from '@lowrank/contracts';
import { publishExport, reportPhase } from '@lowrank/domain';
import { makeExportManifest } from '@lowrank/testing';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { type ReadableStream } from 'node:stream/web';
import { extract } from 'tar-stream';
import { TestApi } from '../test/api';
import { publish, startAttempt, submit } from '../test/job';

const weights = randomBytes(100_000);
const path = '/api/v1/adapters/captain/versions/v1/exports';

let api: TestApi;
let job: JobDetail;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
  const files = { 'adapter_model.safetensors': randomBytes(3000) };
  await publish(api, await startAttempt(api, await submit(api)), files);
  job = await api.call<JobDetail>('POST', path, 201, { json: { format: 'merged', priority: 3 } });
  if (job.work.kind !== 'export') throw new Error('no export');
  const attempt = await startAttempt(api, job);
  await reportPhase(api.ports, attempt, 'publishing');
  const source = join(api.folder, 'model.safetensors');
  await writeFile(source, weights);
  const stored = { path: 'model.safetensors', ...(await api.blobs.putFile(source)) };
  await publishExport(api.ports, attempt, makeExportManifest(job, job.work.version.id, { files: [stored] }));
});
afterAll(() => api.close());

it('are submitted as jobs, and shown as such', async () => {
  expect(job).toMatchObject({
    ...{ state: 'queued', adapter: 'captain', priority: 3 },
    work: { kind: 'export', format: 'merged', version: { adapter: 'captain', number: 1 } },
  });
  const done = await api.call<JobDetail>('GET', `/api/v1/jobs/${job.id}`, 200);
  expect(done).toMatchObject({ state: 'succeeded', work: job.work });
});

it('are listed with their certificates, and found by format', async () => {
  const { data } = await api.call<{ data: VersionExport[] }>('GET', path, 200);
  expect(data).toMatchObject([
    { adapter: 'captain', version: 1, format: 'merged', jobId: job.id, certificate: { passed: true } },
  ]);
  expect(await api.call('GET', `${path}/merged`, 200)).toEqual(data[0]);
  await api.call('GET', `${path}/gguf-f16`, 404);
  await api.call('GET', path.replace('v1', 'v9'), 404);
});

it('are linked to where the object store has an address', async () => {
  const links = () => api.call<FileLinks>('GET', `${path}/merged/links`, 200);
  expect((await links()).files).toMatchObject([{ path: 'model.safetensors', url: null }]);
  const signedUrl = jest.spyOn(api.store, 'signedUrl').mockResolvedValue('https://store.example/a');
  const { files, expiresAt } = await links();
  expect(files).toMatchObject([{ bytes: weights.length, url: 'https://store.example/a' }]);
  expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now());
  signedUrl.mockRestore();
  await api.call('GET', `${path}/gguf-q8_0/links`, 404);
});

it('are downloaded file by file, or whole', async () => {
  const file = await api.fetch('GET', `${path}/merged/files/model.safetensors`);
  expect(Buffer.from(await file.arrayBuffer()).equals(weights)).toBe(true);
  expect((await api.fetch('GET', `${path}/merged/files/none.bin`)).status).toBe(404);
  const archive = await api.fetch('GET', `${path}/merged/archive`);
  expect(archive.headers.get('content-disposition')).toContain('captain-v1-merged.tar');
  const entries = Readable.fromWeb(archive.body as ReadableStream).pipe(extract());
  for await (const entry of entries) {
    expect(entry.header.name).toBe('captain-v1-merged/model.safetensors');
    expect((await buffer(entry)).equals(weights)).toBe(true);
  }
});

it('are as strict as usual for members; an admin may ask for less', async () => {
  const json = { format: 'gguf-f16', parity: { klMean: 100, agreement: 0 } };
  const { error } = await api.call<{ error: object }>('POST', path, 403, { json, key: api.memberKey });
  expect(error).toMatchObject({
    code: 'forbidden',
    details: [{ path: 'parity.klMean' }, { path: 'parity.agreement' }],
  });
  const strict = { ...json, parity: { klMean: 0.001 } };
  await api.call('POST', path, 201, { json: strict, key: api.memberKey });
  const loose = await api.call<JobDetail>('POST', path, 201, { json, key: api.adminKey });
  expect(loose.work).toMatchObject({ thresholds: json.parity });
});

it.each([
  [{}, 'format'],
  [{ format: 'onnx' }, 'format'],
  [{ format: 'merged', parity: { agreement: 2 } }, 'parity.agreement'],
  [{ format: 'merged', parity: { kl: 1 } }, 'parity'],
])('refuse %j, saying where it is wrong', async (json, where) => {
  const { error } = await api.call<{ error: { code: string; details: { path: string }[] } }>(
    'POST',
    path,
    400,
    { json },
  );
  expect(error).toMatchObject({ code: 'validation_failed', details: [{ path: where }] });
});
