import { type ApiKey, type Principal } from '@lowrank/contracts';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestApi } from './test/api';

let api: TestApi;
afterAll(() => api.close());

describe('who may do what', () => {
  beforeAll(async () => {
    api = await TestApi.start();
  });

  it('answers 401 without a key on every route but those for anybody', async () => {
    expect(api.routes.length).toBeGreaterThan(40);
    const statuses: string[] = [];
    for (const route of api.routes) {
      const [method = '', pattern = ''] = route.split(' ');
      const path = pattern.replace(/:\w+/g, 'x').replace('*', 'x');
      const { status } = await api.fetch(method, path, { key: null });
      statuses.push(`${route} ${status}`);
    }
    expect(statuses.filter((line) => !line.endsWith(' 401'))).toEqual([
      'GET /health 200',
      'HEAD /health 200',
      'POST /api/v1/session 400',
      'POST /api/v1/session/key 400',
      'POST /api/v1/password-resets/use 400',
      'POST /api/v1/invitations/accept 400',
    ]);
  });

  it.each([
    '/',
    '/nothing',
    '/api/v1',
    '/health/',
    '/health/x',
    '//health',
    '/HEALTH',
    '/docs%2f',
    '/api/v1/me/',
  ])('answers 401 without a key on %s, which is no route', async (path) =>
    expect((await api.fetch('GET', path, { key: null })).status).toBe(401),
  );

  it.each([
    ['nothing', {}],
    ['another scheme', { authorization: 'Token abc' }],
    ['a malformed key', { authorization: 'Bearer lrk_abc' }],
    ['two keys', { authorization: 'Bearer a, Bearer b' }],
  ])('says how to send a key when it gets %s', async (_title, headers) => {
    const response = await api.fetch('GET', '/api/v1/me', { key: null, headers });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(await response.json()).toMatchObject({
      error: { code: 'unauthorized', help: expect.stringContaining('Authorization: Bearer') },
    });
  });

  it('takes a key as the password of HTTP Basic for the documentation only', async () => {
    const refused = await api.fetch('GET', '/docs', { key: null });
    expect(refused.headers.get('www-authenticate')).toMatch(/^Basic /);
    const headers = { authorization: `Basic ${Buffer.from(`any:${api.memberKey}`).toString('base64')}` };
    expect((await api.fetch('GET', '/docs-json', { key: null, headers })).status).toBe(200);
    expect((await api.fetch('GET', '/docs', { key: null, headers })).status).toBe(200);
    expect((await api.fetch('GET', '/api/v1/me', { key: null, headers })).status).toBe(401);
  });

  it('tells who is asking', async () => {
    expect(await api.call('GET', '/api/v1/me', 200, { key: api.memberKey })).toMatchObject({
      role: 'member',
      teamId: api.teamId,
      scopes: null,
      operator: true,
      actor: { type: 'key', name: 'member' },
    });
  });

  it('has an action declared by every route but the open one and those of the documentation', () => {
    const undeclared = [...api.actions].filter(([, action]) => action === undefined);
    expect(undeclared.map(([route]) => route).filter((route) => !/ \/docs/.test(route))).toEqual([
      'GET /health',
      'HEAD /health',
    ]);
  });

  it('names the role that is missing, before it looks at the body', async () => {
    const options = { key: api.memberKey, body: '{', headers: { 'content-type': 'application/json' } };
    expect(await api.refusal('POST', '/api/v1/keys', options)).toMatchObject({
      status: 403,
      code: 'forbidden',
      message: 'keys.write needs the role admin; yours is member.',
    });
  });

  it('names the scope that is missing, and lets a narrowed key make none that is wider', async () => {
    const { secret: key } = await api.call<{ secret: string }>('POST', '/api/v1/keys', 201, {
      json: { name: 'narrow', role: 'admin', scopes: ['jobs:read', 'keys:write'] },
    });
    await api.call('GET', '/api/v1/jobs', 200, { key });
    expect(await api.refusal('POST', '/api/v1/jobs', { key, json: {} })).toMatchObject({
      status: 403,
      message: expect.stringContaining('needs the scope jobs:write'),
    });
    const wider = { name: 'wide', role: 'member' };
    expect(await api.refusal('POST', '/api/v1/keys', { key, json: wider })).toMatchObject({ status: 403 });
    const owner = { name: 'owner', role: 'owner' };
    expect(await api.refusal('POST', '/api/v1/keys', { json: owner })).toMatchObject({ status: 403 });
  });

  it('says of an expired key that it has expired', async () => {
    const expiresAt = new Date(Date.now() + 1000).toISOString();
    const json = { name: 'short', expiresAt };
    const { secret: key } = await api.call<{ secret: string }>('POST', '/api/v1/keys', 201, { json });
    await sleep(1100);
    expect(await api.refusal('GET', '/api/v1/me', { key })).toMatchObject({
      status: 401,
      code: 'key_expired',
    });
    expect(await api.refusal('POST', '/api/v1/keys', { json })).toMatchObject({
      status: 400,
      details: [{ path: 'expiresAt' }],
    });
  });

  it('makes a key whose secret is shown once, and revokes it within five seconds', async () => {
    const made = await api.call<ApiKey & { secret: string }>('POST', '/api/v1/keys', 201, {
      json: { name: 'ci' },
    });
    expect(made).toMatchObject({ name: 'ci', role: 'member', revokedAt: null });
    const list = await api.call<{ data: ApiKey[] }>('GET', '/api/v1/keys', 200);
    expect(JSON.stringify(list)).not.toContain(made.secret);
    expect(list.data.map((key) => key.id)).toContain(made.id);

    await api.call('GET', '/api/v1/me', 200, { key: made.secret });
    await api.call('DELETE', `/api/v1/keys/${made.id}`, 204);
    await sleep(5000);
    expect(await api.refusal('GET', '/api/v1/me', { key: made.secret })).toMatchObject({ status: 401 });
  });

  it("does not let a team's last admin key go", async () => {
    const { actor } = await api.call<Principal>('GET', '/api/v1/me', 200);
    expect(await api.refusal('DELETE', `/api/v1/keys/${actor.id}`)).toMatchObject({
      status: 409,
      code: 'conflict',
    });
  });

  it('gives every answer a request id, and takes a harmless one from the client', async () => {
    const given = await api.fetch('GET', '/health', { key: null, headers: { 'x-request-id': 'mine-1' } });
    expect(given.headers.get('x-request-id')).toBe('mine-1');
    const odd = await api.fetch('GET', '/nothing', { key: null, headers: { 'x-request-id': 'a b"c' } });
    const id = odd.headers.get('x-request-id');
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(await odd.json()).toMatchObject({ error: { requestId: id } });
  });

  it('tells that all is well', async () => {
    expect(await api.call('GET', '/health', 200, { key: null })).toEqual({
      status: 'ok',
      checks: { database: 'ok', store: 'ok' },
    });
  });

  it('tells strangers that the database is failing, not why', async () => {
    const ping = jest.spyOn(api.ports.unitOfWork, 'ping').mockRejectedValue(new Error('postgres://secret'));
    await sleep(1100);
    const response = await api.fetch('GET', '/health', { key: null });
    ping.mockRestore();
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      status: 'failing',
      checks: { database: 'failing', store: 'ok' },
    });
  });
});
