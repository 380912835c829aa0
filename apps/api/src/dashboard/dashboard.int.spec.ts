import { createApiKey } from '@lowrank/domain';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestApi } from '../test/api';

let api: TestApi;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-pages-'));
  await mkdir(join(folder, 'assets'));
  await writeFile(join(folder, 'index.html'), '<title>Lowrank</title>');
  await writeFile(join(folder, 'assets/index-abc.js'), 'script');
  await writeFile(join(folder, 'assets/index-abc.js.br'), 'brotli');
  api = await TestApi.start({}, { dashboardDir: folder });
});
afterAll(async () => {
  await api.close();
  await rm(folder, { recursive: true });
});

/** By injection, since Node's fetch says by itself that it does not navigate. */
async function get(url: string, headers: Record<string, string> = {}) {
  const response = await api.app.inject({ method: 'GET', url, headers });
  const { statusCode: status, body } = response;
  return { status, body, header: (name: string) => String(response.headers[name]) };
}

const navigation = { 'sec-fetch-mode': 'navigate', accept: 'text/html,*/*;q=0.8' };

describe('the pages', () => {
  it.each(['/', '/jobs/job_x?tab=logs', '/sign-in'])(
    'answers navigation to %s without a key',
    async (path) => {
      for (const headers of [navigation, { accept: 'text/html' }]) {
        const response = await get(path, headers);
        expect([response.status, response.body]).toEqual([200, '<title>Lowrank</title>']);
        expect(response.header('cache-control')).toBe('no-cache');
        const policy = response.header('content-security-policy');
        expect(policy).toContain("script-src 'self';");
        expect(policy).toContain("frame-ancestors 'none'");
        expect(response.header('x-content-type-options')).toBe('nosniff');
      }
    },
  );

  it('has files be kept for good that are named by what is in them, in the smallest encoding', async () => {
    const response = await get('/assets/index-abc.js', { 'accept-encoding': 'gzip' });
    expect([response.status, response.body]).toEqual([200, 'script']);
    expect(response.header('cache-control')).toBe('public, max-age=31536000, immutable');
    const small = await get('/assets/index-abc.js', { 'accept-encoding': 'gzip, br' });
    expect([small.body, small.header('content-encoding')]).toEqual(['brotli', 'br']);
  });

  it('leaves to the API what is its own', async () => {
    for (const path of ['/api/v1/nothing', '/v1/nothing', '/assets/none.js', '/docs/nothing', '/api'])
      expect([path, (await get(path, navigation)).status]).toEqual([path, 401]);
    // A program that asks for a path that is not there.
    expect((await get('/nothing')).status).toBe(401);
    expect((await api.fetch('GET', '/nothing')).status).toBe(404);
    expect((await api.fetch('GET', '/api/v1/nothing', { headers: navigation })).status).toBe(404);
    expect((await api.fetch('POST', '/', { key: null, headers: navigation })).status).toBe(401);
    expect((await get('/api/v1/jobs', navigation)).status).toBe(401);
  });
});

describe('a session of a key', () => {
  const begin = (key: string, headers: Record<string, string> = {}) =>
    api.fetch('POST', '/api/v1/session/key', { key: null, json: { key }, headers });
  const cookieOf = (response: Response) => ({
    cookie: response.headers.get('set-cookie')?.split(';')[0] ?? '',
  });

  it('may do what the key may, in its team, without showing it', async () => {
    const response = await begin(api.viewerKey);
    const session = (await response.json()) as object;
    expect(session).toMatchObject({ user: null, key: { name: 'viewer' }, teamId: api.teamId });
    expect(response.headers.get('set-cookie')).toMatch(
      /^lowrank_session=lrs_[\w-]+; .*HttpOnly; SameSite=Strict/,
    );
    const headers = cookieOf(response);
    expect(await api.call('GET', '/api/v1/session', 200, { key: null, headers })).toMatchObject(session);
    expect(await api.call('GET', '/api/v1/me', 200, { key: null, headers })).toMatchObject({
      ...{ role: 'viewer', teamId: api.teamId, actor: { type: 'key', name: 'viewer' } },
    });
    const json = { name: 'more', role: 'viewer' };
    expect((await api.fetch('POST', '/api/v1/keys', { key: null, headers, json })).status).toBe(403);
    const password = { current: 'none', password: 'a long new password' };
    const put = { key: null, headers, json: password };
    expect(await api.refusal('PUT', '/api/v1/session/password', put)).toMatchObject({ code: 'not_found' });
    const other = { key: null, headers, json: { team: 'another' } };
    expect(await api.refusal('PUT', '/api/v1/session', other)).toMatchObject({ code: 'not_found' });
    await api.call('DELETE', '/api/v1/session', 204, { key: null, headers });
    expect((await get('/api/v1/me', headers)).status).toBe(401);
  });

  it('is over at once when the key is revoked, and when it expires', async () => {
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    const { secret, id } = await createApiKey(api.ports, api.teamId, {
      name: 'short',
      role: 'member',
      expiresAt,
    });
    const response = await begin(secret);
    expect(await response.json()).toMatchObject({ expiresAt });
    const headers = cookieOf(response);
    expect((await get('/api/v1/me', headers)).status).toBe(200);
    await api.call('DELETE', `/api/v1/keys/${id}`, 204);
    expect((await get('/api/v1/me', headers)).status).toBe(401);
  });

  it('is refused for what is no key, and to pages of others', async () => {
    const refused = await begin('lrk_mistyped');
    expect([refused.status, await refused.json()]).toMatchObject([401, { error: { code: 'unauthorized' } }]);
    const foreign = await begin(api.viewerKey, {
      origin: 'https://elsewhere.example',
      'sec-fetch-site': 'cross-site',
    });
    expect([foreign.status, await foreign.json()]).toMatchObject([
      403,
      { error: { code: 'cross_origin_refused' } },
    ]);
  });
});
