import { type AuditEntry, type Invitation, type Member, type Page, type Session } from '@lowrank/contracts';
import { createApiKey, hashApiKeySecret } from '@lowrank/domain';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestApi } from '../test/api';

let api: TestApi;
let owner: string;
beforeAll(async () => {
  api = await TestApi.start();
  owner = (await createApiKey(api.ports, api.teamId, { name: 'owner', role: 'owner' })).secret;
});
afterAll(() => api.close());

const password = 'correct horse battery';
const invite = (email: string, role = 'member', key = owner) =>
  api.call<Invitation & { token: string }>('POST', '/api/v1/invitations', 201, {
    key,
    json: { email, role },
  });
const accept = (token: string, more: object = { name: 'Ann' }) =>
  api.fetch('POST', '/api/v1/invitations/accept', { key: null, json: { token, password, ...more } });
const join = async (email: string, role = 'member', key = owner): Promise<Member> =>
  (await (await accept((await invite(email, role, key)).token)).json()) as Member;
const signIn = async (email: string, tried = password, headers: Record<string, string> = {}) => {
  const response = await api.fetch('POST', '/api/v1/session', {
    ...{ key: null, json: { email, password: tried }, headers },
  });
  const cookie = response.headers.get('set-cookie') ?? '';
  return { response, cookie, headers: { cookie: cookie.split(';')[0] ?? '' } };
};
const as = (headers: Record<string, string>, json?: unknown) => ({ key: null, headers, json });

describe('an invitation', () => {
  it('makes an account and a member, once, and is in the log of both who invited and who came', async () => {
    const { token, id, acceptedAt } = await invite('Ann@Example.org', 'admin');
    expect([token, acceptedAt]).toEqual([expect.stringMatching(/^lri_[\w-]{43}$/), null]);
    expect((await accept(token, {})).status).toBe(400);
    const response = await accept(token);
    expect(response.status).toBe(201);
    const member = (await response.json()) as Member;
    expect(member).toMatchObject({ email: 'ann@example.org', name: 'Ann', role: 'admin', isService: false });
    expect((await accept(token)).status).toBe(410);
    const { data } = await api.call<Page<AuditEntry>>('GET', '/api/v1/audit', 200);
    expect(data.slice(0, 2)).toMatchObject([
      {
        ...{ action: 'invitations.accept', change: 'join', actor: { type: 'user', id: member.id } },
        ...{
          target: { kind: 'member', name: 'ann@example.org' },
          details: { invitation: id, role: 'admin' },
        },
        requestId: response.headers.get('x-request-id'),
      },
      { action: 'members.write', change: 'invite', actor: { type: 'key', name: 'owner' } },
    ]);
    expect(JSON.stringify(await api.call('GET', '/api/v1/invitations', 200))).not.toContain(token);
  });

  it('is refused expired, revoked, to a member, and above what one has', async () => {
    const { id, token } = await invite('late@example.org');
    await api.call('DELETE', `/api/v1/invitations/${id}`, 204);
    expect((await accept(token)).status).toBe(410);
    const expired = await invite('expired@example.org');
    await api.ports.unitOfWork.run(async ({ invitations }) => {
      await invitations.remove(api.teamId, expired.id);
      await invitations.insert(api.teamId, {
        ...{ id: expired.id, email: expired.email, role: expired.role, createdAt: expired.createdAt },
        acceptedAt: null,
        expiresAt: new Date().toISOString(),
        tokenSha256: hashApiKeySecret(expired.token),
      });
    });
    expect((await accept(expired.token)).status).toBe(410);
    await join('there@example.org');
    const again = { email: 'THERE@example.org' };
    expect(await api.refusal('POST', '/api/v1/invitations', { json: again })).toMatchObject({
      code: 'conflict',
    });
    const above = { email: 'new@example.org', role: 'owner' };
    expect(await api.refusal('POST', '/api/v1/invitations', { json: above })).toMatchObject({
      code: 'forbidden',
    });
  });

  it('takes the password of an account that is there already, and adds a team', async () => {
    await join('both@example.org');
    const strangers = await api.ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('strangers'));
    const key = (await createApiKey(api.ports, strangers, { name: 'o', role: 'owner' })).secret;
    const { token } = await invite('both@example.org', 'owner', key);
    expect((await accept(token, { password: 'another password' })).status).toBe(401);
    expect((await accept(token, {})).status).toBe(201);

    const { headers, response } = await signIn('both@example.org');
    const session = (await response.json()) as Session;
    expect(session.teams.map(({ name, role }) => [name, role])).toEqual([
      ['test', 'member'],
      ['strangers', 'owner'],
    ]);
    const me = () => api.call('GET', '/api/v1/me', 200, as(headers));
    expect(await me()).toMatchObject({ teamId: api.teamId, role: 'member', operator: true });
    await api.call('PUT', '/api/v1/session', 200, as(headers, { team: 'strangers' }));
    expect(await me()).toMatchObject({ teamId: strangers, role: 'owner', operator: false });
    const none = await api.refusal('PUT', '/api/v1/session', as(headers, { team: 'nobody' }));
    expect(none).toMatchObject({ code: 'not_found', details: [{ path: 'team' }] });
  });
});

describe('a session', () => {
  it('is kept by a cookie that scripts and other pages do not get, and ends', async () => {
    const { id } = await join('sam@example.org');
    const { cookie, headers, response } = await signIn('SAM@example.org');
    expect(cookie).toMatch(
      /^lowrank_session=lrs_[\w-]{43}; Path=\/; Expires=[^;]+; HttpOnly; SameSite=Strict$/,
    );
    expect((await signIn('sam@example.org', password, { 'x-forwarded-proto': 'https' })).cookie).toMatch(
      /; Secure$/,
    );
    expect(await response.json()).toMatchObject({ user: { id, name: 'Ann' }, teamId: api.teamId });
    const me = await api.call('GET', '/api/v1/me', 200, as(headers));
    expect(me).toMatchObject({ role: 'member', memberId: id, actor: { type: 'user', id, name: 'Ann' } });
    expect((await api.fetch('POST', '/api/v1/keys', as(headers, { name: 'a' }))).status).toBe(403);
    await api.call('DELETE', '/api/v1/session', 204, as(headers));
    expect(await api.refusal('GET', '/api/v1/me', as(headers))).toMatchObject({ status: 401 });
  });

  it('changes nothing for pages of another origin', async () => {
    await join('csrf@example.org', 'admin');
    const { headers } = await signIn('csrf@example.org');
    const send = (more: Record<string, string>) =>
      api.fetch('POST', '/api/v1/keys', as({ ...headers, ...more }, { name: 'a', role: 'viewer' }));
    const foreign: Record<string, string>[] = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site', origin: api.url },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const more of foreign) expect([more, (await send(more)).status]).toEqual([more, 403]);
    const ours: Record<string, string>[] = [
      {},
      { origin: api.url },
      { 'sec-fetch-site': 'same-origin', origin: 'https://proxied.example' },
    ];
    for (const more of ours) expect([more, (await send(more)).status]).toEqual([more, 201]);
    // Signing somebody in unasked is a forgery too.
    expect(
      (await signIn('csrf@example.org', password, { origin: 'https://evil.example' })).response.status,
    ).toBe(403);
  });

  it('is over at once, and its keys within five seconds, when its member is removed', async () => {
    const { id } = await join('gone@example.org', 'admin');
    const { headers } = await signIn('gone@example.org');
    const { secret: key } = await api.call<{ secret: string }>(
      ...(['POST', '/api/v1/keys', 201, as(headers, { name: 'of gone', role: 'admin' })] as const),
    );
    expect(await api.call('GET', '/api/v1/me', 200, { key })).toMatchObject({ role: 'admin', memberId: id });
    await api.call('PATCH', `/api/v1/members/${id}`, 200, { json: { role: 'viewer' } });
    expect(await api.call('GET', '/api/v1/me', 200, as(headers))).toMatchObject({ role: 'viewer' });
    await sleep(3100);
    expect(await api.call('GET', '/api/v1/me', 200, { key })).toMatchObject({ role: 'viewer' });
    await api.call('DELETE', `/api/v1/members/${id}`, 204);
    expect((await api.fetch('GET', '/api/v1/me', as(headers))).status).toBe(401);
    expect((await signIn('gone@example.org')).response.status).toBe(401);
    await sleep(3100);
    expect((await api.fetch('GET', '/api/v1/me', { key })).status).toBe(401);
  }, 30_000);

  it('is not to be had by trying passwords', async () => {
    await join('target@example.org');
    const statuses: number[] = [];
    for (let tries = 0; tries < 10; tries++)
      statuses.push((await signIn('target@example.org', `wrong password ${tries}`)).response.status);
    expect(new Set(statuses)).toEqual(new Set([401]));
    const { response } = await signIn('target@example.org');
    expect([response.status, Number(response.headers.get('retry-after')) > 0]).toEqual([429, true]);
    expect(await signIn('nobody@example.org').then((one) => one.response.json())).toMatchObject({
      error: { code: 'sign_in_failed' },
    });
  }, 30_000);

  it('changes its password, which ends the others', async () => {
    await join('pass@example.org');
    const [mine, others] = [await signIn('pass@example.org'), await signIn('pass@example.org')];
    const change = (current: string) =>
      api.fetch(
        'PUT',
        '/api/v1/session/password',
        as(mine.headers, { current, password: 'a new long password' }),
      );
    expect((await change('wrong')).status).toBe(401);
    expect((await change(password)).status).toBe(204);
    expect((await api.fetch('GET', '/api/v1/me', as(others.headers))).status).toBe(401);
    expect((await api.fetch('GET', '/api/v1/session', as(mine.headers))).status).toBe(200);
    expect((await signIn('pass@example.org', 'a new long password')).response.status).toBe(200);
  }, 30_000);
});

describe('members', () => {
  it('keep an owner, and those above one', async () => {
    const { id } = await join('first@example.org', 'owner');
    const change = (role: string, key = owner) =>
      api.refusal('PATCH', `/api/v1/members/${id}`, { key, json: { role } });
    expect(await change('admin')).toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('last owner'),
    });
    expect(await api.refusal('DELETE', `/api/v1/members/${id}`, { key: owner })).toMatchObject({
      code: 'conflict',
    });
    expect(await change('viewer', api.adminKey)).toMatchObject({ code: 'forbidden' });
    await join('second@example.org', 'owner');
    await api.call('PATCH', `/api/v1/members/${id}`, 200, { key: owner, json: { role: 'admin' } });
    await api.call('DELETE', `/api/v1/members/${id}`, 204, { key: owner });
  });

  it('may be service accounts, which have keys only, that die with them', async () => {
    const json = { name: 'ci', role: 'member' };
    const { id } = await api.call<Member>('POST', '/api/v1/service-accounts', 201, { json });
    expect(await api.refusal('POST', '/api/v1/service-accounts', { json })).toMatchObject({
      code: 'name_taken',
    });
    const made = { name: 'deploy', role: 'admin', serviceAccount: id };
    const { secret: key } = await api.call<{ secret: string }>('POST', '/api/v1/keys', 201, { json: made });
    expect(await api.call('GET', '/api/v1/me', 200, { key })).toMatchObject({ role: 'member', memberId: id });
    const person = await join('person@example.org');
    const notOne = { ...made, serviceAccount: person.id };
    expect(await api.refusal('POST', '/api/v1/keys', { json: notOne })).toMatchObject({ code: 'not_found' });
    await api.call('DELETE', `/api/v1/members/${id}`, 204);
    await sleep(3100);
    expect((await api.fetch('GET', '/api/v1/me', { key })).status).toBe(401);
    const { data } = await api.call<Page<AuditEntry>>('GET', `/api/v1/audit?target=${id}`, 200);
    expect(data.map(({ change, target, details }) => [change, target.kind, details])).toEqual([
      ['remove', 'service-account', { role: 'member', keys: 1 }],
      ['make', 'service-account', { role: 'member' }],
    ]);
  }, 30_000);
});
