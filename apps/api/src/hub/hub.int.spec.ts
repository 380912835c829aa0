import { type AdapterVersion } from '@lowrank/contracts';
import { createApiKey } from '@lowrank/domain';
import { randomBytes } from 'node:crypto';
import { TestApi } from '../test/api';
import { publish, startAttempt, submit } from '../test/job';

const weights = [randomBytes(100_000), randomBytes(100_000)];
const config = Buffer.from('{"r":16}\n');

let api: TestApi;
let versions: AdapterVersion[];
beforeAll(async () => {
  api = await TestApi.start();
  const tiny = await api.importTiny();
  const fromHub = { ...tiny, id: api.ports.ids.make('baseModel'), name: 'from-hub', source: 'Org/Model' };
  await api.ports.unitOfWork.run(({ baseModels }) => baseModels.insert(api.teamId, fromHub));
  for (const content of weights)
    await publish(api, await startAttempt(api, await submit(api)), {
      'adapter_config.json': config,
      'adapter_model.safetensors': content,
    });
  await api.call('PUT', '/api/v1/adapters/captain/aliases/prod', 200, { json: { version: 'v1' } });
  const { data } = await api.call<{ data: AdapterVersion[] }>(
    'GET',
    '/api/v1/adapters/captain/versions',
    200,
  );
  versions = data.reverse();
});
afterAll(() => api.close());

interface Info {
  id: string;
  sha: string;
  siblings: Record<string, unknown>[];
}
const info = (path: string) => api.call<Info>('GET', `/api/models/${path}`, 200);
const resolve = (method: string, path: string, headers: Record<string, string> = {}) =>
  fetch(`${api.url}/${path}`, {
    method,
    redirect: 'manual',
    headers: { authorization: `Bearer ${api.memberKey}`, ...headers },
  });

it('shows a version as a commit, by number, alias, commit, pinned name or as the newest', async () => {
  const [first, second] = versions.map(({ revision }) => revision);
  for (const [path, sha] of [
    ['test/captain', second],
    ['test/captain/revision/main', second],
    ['test/captain/revision/v1', first],
    ['test/captain/revision/prod', first],
    [`test/captain/revision/${first}`, first],
    ['test/captain-v1', first],
    ['test/captain-v1/revision/v1', first],
    [`test/captain-v2/revision/${second}`, second],
  ])
    expect([path, (await info(path ?? '')).sha]).toEqual([path, sha]);
  expect(await info('test/captain')).toMatchObject({
    id: 'test/captain',
    private: true,
    pipeline_tag: 'text-generation',
    library_name: 'peft',
    cardData: { base_model: 'tiny' },
    siblings: [{ rfilename: 'adapter_config.json' }, { rfilename: 'adapter_model.safetensors' }],
  });
  const { siblings } = await info('test/captain?blobs=true');
  expect(siblings[1]).toMatchObject({
    size: 100_000,
    lfs: { sha256: versions[1]?.files[1]?.sha256, size: 100_000 },
  });
});

it('shows base models by name and by where they came from', async () => {
  for (const id of ['test/tiny', 'Org/Model'])
    expect(await info(id)).toMatchObject({ id, library_name: 'transformers' });
  const response = await resolve('GET', 'Org/Model/resolve/main/config.json');
  expect(await response.json()).toMatchObject({ model_type: 'llama' });
});

it('shows base models by the folder that they came from, as adapters name them', async () => {
  const { sha } = await info('tiny');
  expect(await info(`tiny/revision/${sha}`)).toMatchObject({ id: 'tiny', sha, library_name: 'transformers' });
  const tree = await api.fetch('GET', `/api/models/tiny/tree/${sha}`);
  expect(await tree.json()).toContainEqual(expect.objectContaining({ path: 'config.json' }));
  const file = await resolve('GET', 'tiny/resolve/main/config.json');
  expect(await file.json()).toMatchObject({ model_type: 'llama' });
  const none = await resolve('GET', 'none/resolve/main/config.json');
  expect([none.status, none.headers.get('x-error-code')]).toEqual([404, 'RepoNotFound']);
  const beyond = await resolve('GET', `tiny/resolve/${'0'.repeat(40)}/config.json`);
  expect([beyond.status, beyond.headers.get('x-error-code')]).toEqual([404, 'RevisionNotFound']);
});

it('lists files page by page', async () => {
  const response = await api.fetch('GET', '/api/models/test/captain/tree/prod?limit=1&recursive=true');
  expect(await response.json()).toEqual([
    {
      type: 'file',
      path: 'adapter_config.json',
      size: config.length,
      oid: versions[0]?.files[0]?.sha256.slice(0, 40),
    },
  ]);
  const next = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1] ?? '';
  expect(next.startsWith(api.url)).toBe(true);
  const rest = await api.fetch('GET', next.slice(api.url.length));
  const { sha256: oid } = versions[0]?.files[1] ?? { sha256: '' };
  expect(await rest.json()).toEqual([
    expect.objectContaining({
      path: 'adapter_model.safetensors',
      lfs: { oid, size: 100_000, pointerSize: 131 },
    }),
  ]);
  expect(rest.headers.get('link')).toBeNull();
});

it('serves a small file with its commit, size and ETag, whole or in part', async () => {
  const path = 'test/captain/resolve/prod/adapter_config.json';
  for (const method of ['HEAD', 'GET']) {
    const response = await resolve(method, path);
    expect(response.status).toBe(200);
    expect(response.headers.get('x-repo-commit')).toBe(versions[0]?.revision);
    expect(response.headers.get('etag')).toBe(`"${versions[0]?.files[0]?.sha256}"`);
    expect(response.headers.get('content-length')).toBe(String(config.length));
    expect(await response.text()).toBe(method === 'HEAD' ? '' : String(config));
  }
  const part = await resolve('GET', path, { range: 'bytes=2-4' });
  expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([
    206,
    `bytes 2-4/${config.length}`,
    String(config.subarray(2, 5)),
  ]);
  const beyond = await resolve('GET', path, { range: 'bytes=900-' });
  expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${config.length}`]);
});

it('sends weights itself, where the store has no address of its own', async () => {
  const path = 'test/captain-v2/resolve/main/adapter_model.safetensors';
  const response = await resolve('GET', path);
  expect([response.status, response.headers.get('x-repo-commit')]).toEqual([200, versions[1]?.revision]);
  expect(response.headers.get('etag')).toBe(`"${versions[1]?.files[1]?.sha256}"`);
  expect(Buffer.from(await response.arrayBuffer())).toEqual(weights[1]);
});

it('leads to weights on S3 by a link that holds for an hour', async () => {
  const url = 'https://objects.example/signed';
  const signedUrl = jest.spyOn(api.store, 'signedUrl').mockResolvedValue(url);
  for (const method of ['HEAD', 'GET']) {
    const response = await resolve(method, 'test/captain-v2/resolve/main/adapter_model.safetensors');
    expect([response.status, response.headers.get('location')]).toEqual([302, url]);
    expect(response.headers.get('x-repo-commit')).toBe(versions[1]?.revision);
    expect(response.headers.get('x-linked-etag')).toBe(`"${versions[1]?.files[1]?.sha256}"`);
    expect(response.headers.get('x-linked-size')).toBe('100000');
  }
  expect(signedUrl.mock.lastCall?.[1]).toEqual({ seconds: 3600, filename: 'adapter_model.safetensors' });
  signedUrl.mockRestore();
});

it('tells whose token it is', async () => {
  expect(await api.call('GET', '/api/whoami-v2', 200)).toMatchObject({
    type: 'user',
    name: 'admin',
    orgs: [{ name: 'test' }],
    auth: { type: 'access_token' },
  });
});

it.each([
  ['api/models/test/none', 'RepoNotFound'],
  ['api/models/other/captain', 'RepoNotFound'],
  ['api/models/org/model', 'RepoNotFound'],
  ['api/models/none/none/revision/main', 'RepoNotFound'],
  ['api/models/test/captain/revision/canary', 'RevisionNotFound'],
  ['api/models/test/captain/revision/v9', 'RevisionNotFound'],
  ['api/models/test/captain/revision/refs%2Fpr%2F1', 'RevisionNotFound'],
  [`api/models/test/captain/revision/${'0'.repeat(40)}`, 'RevisionNotFound'],
  ['api/models/test/captain-v9', 'RevisionNotFound'],
  ['api/models/test/captain-v1/revision/v2', 'RevisionNotFound'],
  ['api/models/test/tiny/revision/v1', 'RevisionNotFound'],
  ['api/models/test/captain/tree/main/folder', 'EntryNotFound'],
  ['test/captain/resolve/main/none.json', 'EntryNotFound'],
  ['test/captain/resolve/main/folder/none.json', 'EntryNotFound'],
  ['test/captain/resolve/main/..%2f..%2fetc', 'EntryNotFound'],
])('answers %s with 404 %s', async (path, code) => {
  const response = await resolve('GET', path);
  expect([response.status, response.headers.get('x-error-code')]).toEqual([404, code]);
});

it('hides everything from strangers and other teams, and tells a key that is wrong from none', async () => {
  const other = await api.ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('other'));
  const { secret } = await createApiKey(api.ports, other, { name: 'other', role: 'admin' });
  for (const path of [
    'api/models/test/captain',
    'test/captain/resolve/main/adapter_config.json',
    'api/models/Org/Model',
  ]) {
    const foreign = await resolve('GET', path, { authorization: `Bearer ${secret}` });
    expect([path, foreign.status, foreign.headers.get('x-error-code')]).toEqual([path, 404, 'RepoNotFound']);
    const none = await fetch(`${api.url}/${path}`);
    expect([path, none.status, none.headers.get('x-error-code')]).toEqual([path, 401, 'RepoNotFound']);
    const wrong = await resolve('GET', path, { authorization: 'Bearer lrk_wrong' });
    expect([wrong.status, wrong.headers.get('x-error-code'), wrong.headers.get('x-error-message')]).toEqual([
      401,
      null,
      'Invalid credentials in Authorization header',
    ]);
  }
});
