import { type Adapter, type AdapterVersion, type FileLinks } from '@lowrank/contracts';
import { blobKey } from '@lowrank/storage';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { type ReadableStream } from 'node:stream/web';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { TestApi } from '../test/api';
import { publish, startAttempt, submit } from '../test/job';

const files = {
  'adapter_config.json': Buffer.from('{"r":16}\n'),
  'adapter_model.safetensors': randomBytes(300_000),
  'README.md': Buffer.from('# Captain\n'),
};

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
  for (let i = 0; i < 2; i++) await publish(api, await startAttempt(api, await submit(api)), files);
  await submit(api, { adapter: 'unpublished' });
});
afterAll(() => api.close());

const get = <T>(path: string) => api.call<T>('GET', `/api/v1/adapters${path}`, 200);

it('lists adapters, all or by a part of the name', async () => {
  const names = async (query: string) =>
    (await get<{ data: Adapter[] }>(query)).data.map(({ name, latestVersion }) => [name, latestVersion]);
  expect(await names('')).toEqual([
    ['unpublished', null],
    ['captain', 2],
  ]);
  expect(await names('?query=apt')).toEqual([['captain', 2]]);
  expect(await names('?query=%25')).toEqual([]);
  expect(await names('?q=CAPT&baseModel=tiny&objective=sft&method=lora&maxLoss=1&sort=loss')).toEqual([
    ['captain', 2],
  ]);
  expect(await names('?maxLoss=0.9')).toEqual([]);
});

it('finds a version by number, with and without v, and the latest', async () => {
  const first = await get<AdapterVersion>('/captain/versions/1');
  expect(first).toMatchObject({
    adapter: 'captain',
    number: 1,
    baseModel: { name: 'tiny' },
    metrics: { evalLossAfter: 1 },
    bytes: Object.values(files).reduce((sum, content) => sum + content.length, 0),
  });
  expect(await get('/captain/versions/v1')).toEqual(first);
  expect(await get('/captain/versions/latest')).toMatchObject({ number: 2 });
  const { data } = await get<{ data: AdapterVersion[] }>('/captain/versions');
  expect(data.map((version) => version.number).sort()).toEqual([1, 2]);
});

it.each([
  ['?sort=size', 400],
  ['?maxLoss=low', 400],
  ['?tag=NoTag', 400],
  ['?q=a+b+c+d+e+f+g+h+i', 400],
  ['/captain/versions/3/lineage', 404],
  ['/none', 404],
  ['/none/versions', 404],
  ['/captain/versions/3', 404],
  ['/unpublished/versions/latest', 404],
  ['/captain/versions/0', 400],
  ['/captain/versions/v0', 400],
  ['/captain/versions/Prod', 400],
  ['/captain/versions/prod', 404],
  ['/none/card', 404],
  ['/none/aliases', 404],
  ['/captain/versions/1/files/missing.json', 404],
  ['/captain/versions/9/archive', 404],
])('answers %s with %d', async (path, status) =>
  expect(await api.refusal('GET', `/api/v1/adapters${path}`)).toMatchObject({ status }),
);

it('sends a file, byte for byte', async () => {
  for (const [name, content] of Object.entries(files)) {
    const response = await api.fetch('GET', `/api/v1/adapters/captain/versions/latest/files/${name}`);
    expect(Buffer.from(await response.arrayBuffer())).toEqual(content);
    expect(response.headers.get('content-length')).toBe(String(content.length));
  }
});

it('links to the files where the object store has an address', async () => {
  const links = () => get<FileLinks>('/captain/versions/1/links');
  const { files: without, expiresAt } = await links();
  expect(without.map(({ path, url }) => [path, url])).toEqual(Object.keys(files).map((path) => [path, null]));
  expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now());
  const signedUrl = jest.spyOn(api.store, 'signedUrl').mockResolvedValue('https://store.example/a');
  const [first] = (await links()).files;
  expect(first?.url).toBe('https://store.example/a');
  expect(signedUrl.mock.calls[0]).toEqual([
    blobKey(first?.sha256 ?? ''),
    { seconds: 3600, filename: 'adapter_config.json' },
  ]);
  signedUrl.mockRestore();
});

it('sends a whole version as an archive', async () => {
  const response = await api.fetch('GET', '/api/v1/adapters/captain/versions/v2/archive');
  expect(response.headers.get('content-type')).toBe('application/x-tar');
  expect(response.headers.get('content-disposition')).toBe('attachment; filename="captain-v2.tar"');
  const entries: Record<string, Buffer> = {};
  const archive = Readable.fromWeb(response.body as ReadableStream).pipe(extract());
  for await (const entry of archive) entries[entry.header.name] = await buffer(entry);
  expect(entries).toEqual(
    Object.fromEntries(Object.entries(files).map(([name, content]) => [`captain-v2/${name}`, content])),
  );
});

it('neither lists nor sends what is deleted, and restores it', async () => {
  const path = '/api/v1/adapters/captain';
  await api.call('PUT', `${path}/aliases/prod`, 200, { json: { version: 'v2' } });
  expect(await api.refusal('DELETE', `${path}/versions/v2`)).toMatchObject({
    ...{ status: 409, code: 'in_use', message: expect.stringContaining("'prod'") },
  });
  expect(await api.refusal('DELETE', `${path}/versions/latest`)).toMatchObject({ status: 400 });
  await api.call('DELETE', `${path}/aliases/prod`, 204);
  await api.call('DELETE', `${path}/versions/v2`, 204);
  expect(await api.refusal('GET', `${path}/versions/2/archive`)).toMatchObject({ status: 404 });
  expect(await get('/captain/versions/latest')).toMatchObject({ number: 1 });
  const info = await api.fetch('GET', '/api/models/test/captain/revision/v2');
  expect(info.status).toBe(404);
  expect(info.headers.get('x-error-code')).toBe('RevisionNotFound');
  expect(await get('/captain/versions?deleted=true')).toMatchObject({ data: [{ number: 2 }] });
  await api.call('POST', `${path}/versions/v2/restore`, 200);
  await api.call('DELETE', path, 204);
  expect(await api.refusal('GET', path)).toMatchObject({ status: 404 });
  const gone = await api.fetch('GET', '/api/models/test/captain');
  expect(gone.headers.get('x-error-code')).toBe('RepoNotFound');
  expect(await get('?deleted=true')).toMatchObject({ data: [{ name: 'captain' }] });
  expect(await api.call('POST', `${path}/restore`, 200)).toMatchObject({ latestVersion: 2 });
});

it('never sends a damaged file whole', async () => {
  const job = await submit(api, { adapter: 'damaged' });
  const content = randomBytes(200_000);
  const { files } = await publish(api, await startAttempt(api, job), { 'weights.safetensors': content });
  const damaged = Buffer.from(content);
  damaged.writeUInt8(damaged.readUInt8(100_000) ^ 1, 100_000);
  await api.store.put(blobKey(files[0]?.sha256 ?? ''), damaged, { bytes: damaged.length });
  for (const path of ['files/weights.safetensors', 'archive']) {
    const response = await api.fetch('GET', `/api/v1/adapters/damaged/versions/1/${path}`);
    await expect(response.arrayBuffer()).rejects.toThrow();
  }
  await api.call('GET', '/health', 200);
});
