import {
  type ApiKey,
  type AuditEntry,
  type CreatedPasswordReset,
  type Member,
  type OwnSession,
  type Page,
  type Role,
} from '@lowrank/contracts';
import { authenticateSession, createApiKey, guardAttempt } from '@lowrank/domain';
import { TestApi } from '../test/api';

let api: TestApi;
let owner: string;
beforeAll(async () => {
  api = await TestApi.start({ LOWRANK_TRUSTED_PROXIES: '10.9.0.0/16' });
  owner = (await createApiKey(api.ports, api.teamId, { name: 'owner', role: 'owner' })).secret;
});
afterAll(() => api.close());

const password = 'correct horse battery';
type Cookie = { cookie: string };
const as = (headers: Cookie, json?: unknown) => ({ key: null, headers, json });

async function join(email: string, role: Role, key = owner, tried = password): Promise<Member> {
  const invited = await api.call<{ token: string }>('POST', '/api/v1/invitations', 201, {
    key,
    json: { email, role },
  });
  const json = { token: invited.token, name: 'Ann', password: tried };
  return api.call('POST', '/api/v1/invitations/accept', 201, { key: null, json });
}
async function signIn(email: string, tried = password): Promise<{ status: number; headers: Cookie }> {
  const response = await api.fetch('POST', '/api/v1/session', {
    key: null,
    json: { email, password: tried },
  });
  return {
    status: response.status,
    headers: { cookie: response.headers.get('set-cookie')?.split(';')[0] ?? '' },
  };
}
/** A member, and the cookie of their session. */
async function member(email: string, role: Role = 'member') {
  const { id } = await join(email, role);
  return { id, ...(await signIn(email)) };
}
async function otherTeam(name: string): Promise<string> {
  const id = await api.ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam(name));
  return (await createApiKey(api.ports, id, { name: 'o', role: 'owner' })).secret;
}

describe("a member's own keys", () => {
  it('are made without an admin, do no more than the member may, and are seen and revoked by them alone', async () => {
    const ann = await member('ann@example.org', 'viewer');
    const bob = await member('bob@example.org');
    const made = await api.call<ApiKey & { secret: string }>(
      'POST',
      '/api/v1/me/keys',
      201,
      as(ann.headers, { name: 'laptop' }),
    );
    expect(made).toMatchObject({ role: 'viewer', scopes: null, memberId: ann.id, expiresAt: null });
    expect(
      await api.refusal('POST', '/api/v1/me/keys', as(ann.headers, { name: 'more', role: 'member' })),
    ).toMatchObject({
      status: 403,
      code: 'forbidden',
    });
    expect(await api.call('GET', '/api/v1/me', 200, { key: made.secret })).toMatchObject({
      role: 'viewer',
      memberId: ann.id,
    });
    const keysOf = async (headers: Cookie) =>
      (await api.call<{ data: ApiKey[] }>('GET', '/api/v1/me/keys', 200, as(headers))).data.map(
        ({ id }) => id,
      );
    expect(await keysOf(ann.headers)).toEqual([made.id]);
    expect(await keysOf(bob.headers)).toEqual([]);
    expect(await api.refusal('DELETE', `/api/v1/me/keys/${made.id}`, as(bob.headers))).toMatchObject({
      status: 404,
    });
    await api.call('DELETE', `/api/v1/me/keys/${made.id}`, 204, as(ann.headers));
    expect((await keysOf(ann.headers)).length).toBe(1);
  });

  it('made with a key that ends, end with it', async () => {
    const { headers } = await member('eva@example.org');
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    const json = { name: 'short', expiresAt, scopes: ['keys:write', 'jobs:read'] };
    const short = await api.call<{ secret: string }>('POST', '/api/v1/me/keys', 201, as(headers, json));
    const make = (more: object) => ({ key: short.secret, json: { name: 'next', ...more } });
    expect(await api.call('POST', '/api/v1/me/keys', 201, make({}))).toMatchObject({
      expiresAt,
      scopes: json.scopes,
    });
    const later = new Date(Date.now() + 120_000).toISOString();
    for (const more of [{ expiresAt: later }, { scopes: ['jobs:write'] }])
      expect(await api.refusal('POST', '/api/v1/me/keys', make(more))).toMatchObject({ code: 'forbidden' });
  });
});

describe("an account's sessions", () => {
  const list = async (headers: Cookie) =>
    (await api.call<{ data: OwnSession[] }>('GET', '/api/v1/me/sessions', 200, as(headers))).data;
  const status = async (headers: Cookie) => (await api.fetch('GET', '/api/v1/me', as(headers))).status;

  it('are listed with where and with what they were begun, and ended one by one or but for this', async () => {
    const { id, headers: first } = await member('pat@example.org');
    const { headers: stranger } = await member('quin@example.org');
    const [{ headers: second }, { headers: third }] = [
      await signIn('pat@example.org'),
      await signIn('pat@example.org'),
    ];
    const own = await list(first);
    expect(own.map(({ isCurrent }) => isCurrent)).toEqual([false, false, true]);
    expect(own[0]).toMatchObject({ address: '127.0.0.1', userAgent: 'node' });
    expect(JSON.stringify(own)).not.toContain(first.cookie.split('=')[1]);
    const theirs = (await list(stranger)).map((session) => session.id);
    expect(theirs).toHaveLength(1);
    expect(await api.refusal('DELETE', `/api/v1/me/sessions/${theirs[0]}`, as(first))).toMatchObject({
      code: 'not_found',
    });

    await api.call('DELETE', `/api/v1/me/sessions/${own[0]?.id}`, 204, as(first));
    expect([await status(first), await status(second), await status(third)]).toEqual([200, 200, 401]);
    await api.call('DELETE', '/api/v1/me/sessions', 204, as(second));
    expect([await status(first), await status(second), await status(stranger)]).toEqual([401, 200, 200]);
    const [last] = await list(second);
    const ended = await api.fetch('DELETE', `/api/v1/me/sessions/${last?.id}`, as(second));
    expect([ended.status, ended.headers.get('set-cookie')]).toEqual([
      204,
      expect.stringContaining('lowrank_session=;'),
    ]);
    expect(await status(second)).toBe(401);
    const { data } = await api.call<Page<AuditEntry>>(
      'GET',
      `/api/v1/audit?action=own-sessions.end&target=${id}`,
      200,
    );
    expect(data.map(({ change, details }) => [change, details])).toEqual([
      ['end-session', { session: last?.id }],
      ['end-other-sessions', { sessions: 1 }],
      ['end-session', { session: own[0]?.id }],
    ]);
  });

  it('tell when they were last used, some minutes late', async () => {
    const { headers } = await member('rae@example.org');
    const secret = headers.cookie.split('=')[1] ?? '';
    const usedAt = async () => (await list(headers))[0]?.usedAt;
    const begun = await usedAt();
    const use = (minutes: number) => {
      const at = new Date(Date.now() + minutes * 60_000).toISOString();
      return authenticateSession(api.ports.unitOfWork, secret, at).then(() => at);
    };
    await use(4);
    expect(await usedAt()).toBe(begun);
    const later = await use(6);
    expect(await usedAt()).toBe(later);
  });

  it('of an API key are those that were begun with it; the key itself has none', async () => {
    const made = await createApiKey(api.ports, api.teamId, { name: 'browser', role: 'viewer' });
    const { secret } = made;
    const begin = async () => {
      const response = await api.fetch('POST', '/api/v1/session/key', { key: null, json: { key: secret } });
      return { cookie: response.headers.get('set-cookie')?.split(';')[0] ?? '' };
    };
    const [one, two] = [await begin(), await begin()];
    expect(await list(one)).toHaveLength(2);
    const { data } = await api.call<Page<AuditEntry>>('GET', `/api/v1/audit?target=${made.id}`, 200);
    expect(data).toHaveLength(2);
    expect(data[0]).toMatchObject({
      ...{ action: 'session.begin', change: 'sign-in', actor: { type: 'key', id: made.id, name: 'browser' } },
      ...{ target: { kind: 'key', id: made.id }, details: { address: expect.any(String) } },
    });
    await api.call('DELETE', '/api/v1/me/sessions', 204, as(one));
    expect([await status(one), await status(two)]).toEqual([200, 401]);
    for (const method of ['GET', 'DELETE'])
      expect(await api.refusal(method, '/api/v1/me/sessions', { key: secret })).toMatchObject({
        status: 404,
      });
  });
});

describe('a forgotten password', () => {
  const reset = (id: string, key = owner) =>
    api.call<CreatedPasswordReset>('POST', `/api/v1/members/${id}/password-reset`, 201, { key });
  const use = (token: string) =>
    api.fetch('POST', '/api/v1/password-resets/use', {
      key: null,
      json: { token, password: 'another long one' },
    });

  it("is replaced by an admin's token, once, which ends all sessions", async () => {
    const { id, headers } = await member('fred@example.org');
    const stale = await reset(id);
    const { token } = await reset(id);
    expect(token).toMatch(/^lrr_[\w-]{43}$/);
    expect((await use(stale.token)).status).toBe(410);
    expect((await use(token)).status).toBe(204);
    expect((await use(token)).status).toBe(410);
    expect((await api.fetch('GET', '/api/v1/me', as(headers))).status).toBe(401);
    expect((await signIn('fred@example.org')).status).toBe(401);
    expect((await signIn('fred@example.org', 'another long one')).status).toBe(200);
    const { data } = await api.call<Page<AuditEntry>>('GET', `/api/v1/audit?target=${id}`, 200);
    expect(data.map(({ change }) => change)).toEqual(
      expect.arrayContaining(['reset-password', 'choose-password']),
    );
    expect(JSON.stringify(data)).not.toContain(token);
  });

  it('is no way into what somebody has elsewhere, or into a higher role', async () => {
    const strangers = await otherTeam('strangers');
    await join('gil@example.org', 'owner');
    const gil = await join('gil@example.org', 'viewer', strangers);
    expect(
      await api.refusal('POST', `/api/v1/members/${gil.id}/password-reset`, { key: strangers }),
    ).toMatchObject({
      status: 403,
      message: expect.stringContaining('other teams'),
    });
    expect(
      await api.refusal('POST', `/api/v1/members/${gil.id}/password-reset`, { key: api.adminKey }),
    ).toMatchObject({
      status: 403,
    });
    // The operator's team may, of whom it may change.
    expect((await use((await reset(gil.id)).token)).status).toBe(204);
    // Whoever joins another team after it was made is theirs too.
    const hal = await join('hal@example.org', 'viewer', strangers);
    const { token } = await reset(hal.id, strangers);
    await join('hal@example.org', 'member');
    expect((await use(token)).status).toBe(410);
    expect((await signIn('hal@example.org')).status).toBe(200);
  });
});

describe('leaving a team', () => {
  it('revokes what one has there, and leaves other teams alone', async () => {
    const second = await otherTeam('second');
    const ida = await member('ida@example.org');
    await join('ida@example.org', 'viewer', second);
    const { secret } = await api.call<{ secret: string }>(
      'POST',
      '/api/v1/me/keys',
      201,
      as(ida.headers, { name: 'k' }),
    );
    await api.call('POST', '/api/v1/me/leave', 204, as(ida.headers));
    expect((await api.fetch('GET', '/api/v1/me', { key: secret })).status).toBe(401);
    expect(await api.call('GET', '/api/v1/me', 200, as(ida.headers))).toMatchObject({
      role: 'viewer',
      operator: false,
    });
    await api.call('POST', '/api/v1/me/leave', 204, as(ida.headers));
    expect((await api.fetch('GET', '/api/v1/me', as(ida.headers))).status).toBe(401);
    expect((await signIn('ida@example.org')).status).toBe(401);
  });

  it('is not for the last owner, nor for a key of the team', async () => {
    const key = await otherTeam('lonely');
    await join('jon@example.org', 'owner', key);
    const { headers } = await signIn('jon@example.org');
    expect(await api.refusal('POST', '/api/v1/me/leave', as(headers))).toMatchObject({ code: 'conflict' });
    expect(await api.refusal('POST', '/api/v1/me/leave', { key })).toMatchObject({ status: 404 });
  });
});

describe('signing in', () => {
  it("is in the team's log, failures too; to an address that nobody has, in the installation's", async () => {
    const { id } = await member('kim@example.org');
    await signIn('kim@example.org', 'wrong password');
    await signIn('Nobody.There@example.org', 'wrong password');
    const { data } = await api.call<Page<AuditEntry>>(
      'GET',
      '/api/v1/audit?action=session.begin&limit=2',
      200,
    );
    expect(data).toMatchObject([
      {
        change: 'sign-in-failed',
        target: { kind: 'account', id, name: 'kim@example.org' },
        details: { address: '127.0.0.1' },
      },
      { change: 'sign-in', actor: { type: 'user', id }, target: { id } },
    ]);
    const accounts = await api.call<Page<AuditEntry>>('GET', '/api/v1/audit/accounts?limit=1', 200);
    expect(accounts.data).toMatchObject([
      {
        change: 'sign-in-failed',
        actor: { id: 'unknown' },
        target: { id: null, name: 'nobody.there@example.org' },
      },
    ]);
    const stranger = await otherTeam('curious');
    expect(await api.refusal('GET', '/api/v1/audit/accounts', { key: stranger })).toMatchObject({
      status: 403,
    });
  });

  const fail = async (account: string, address: string, times: number) => {
    const wrong = () => Promise.reject(new Error('wrong'));
    for (let i = 0; i < times; i++)
      await guardAttempt(api.ports, { account, address }, wrong).catch(() => undefined);
  };
  const tryFrom = async (remoteAddress: string, forwarded: string) => {
    const { statusCode } = await api.app.inject({
      method: 'POST',
      url: '/api/v1/session',
      remoteAddress,
      headers: { 'x-forwarded-for': forwarded },
      payload: { email: 'lea@example.org', password },
    });
    return statusCode;
  };

  it('is limited by account and address in whatever API process it fails, and by the client that a trusted proxy tells of', async () => {
    await member('lea@example.org');
    await member('mia@example.org');
    // Counted in Postgres, as another process would.
    await fail('Mia@example.org', '203.0.113.1', 10);
    expect((await signIn('mia@example.org')).status).toBe(429);
    for (let i = 0; i < 6; i++) await fail(`nobody${i}@example.org`, '203.0.113.9', 9);
    expect(await tryFrom('10.9.0.1', '203.0.113.9')).toBe(429);
    expect(await tryFrom('10.9.0.1', '203.0.113.10')).toBe(200);
    // Anybody else may say what they like.
    expect(await tryFrom('10.8.0.1', '203.0.113.9')).toBe(200);
  });

  it('forgets failures after a quarter of an hour', async () => {
    await member('ned@example.org');
    await fail('ned@example.org', '203.0.113.2', 10);
    expect((await signIn('ned@example.org')).status).toBe(429);
    const later = { now: () => new Date(Date.now() + 16 * 60_000).toISOString() };
    const work = () => Promise.resolve('in');
    expect(
      await guardAttempt({ ...api.ports, clock: later }, { account: 'ned@example.org', address: 'x' }, work),
    ).toBe('in');
  });
});
