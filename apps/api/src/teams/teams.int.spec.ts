import { type AuditEntry, type CreatedTeam, type Page, type Team } from '@lowrank/contracts';
import { TestApi } from '../test/api';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
});
afterAll(() => api.close());

const make = (name: string, more: object = {}) =>
  api.call<CreatedTeam>('POST', '/api/v1/teams', 201, {
    json: { name, owner: `${name}@example.org`, ...more },
  });

it('are made with quotas and an invitation of their first owner, who comes in', async () => {
  const { invitation, ...team } = await make('research', { weight: 2, maxRunning: 3 });
  expect(team).toMatchObject({
    name: 'research',
    weight: 2,
    maxRunning: 3,
    maxQueued: null,
    deviceSecondsUsed: 0,
  });
  expect(invitation).toMatchObject({ email: 'research@example.org', role: 'owner' });
  const password = 'a long enough password';
  const json = { token: invitation.token, name: 'Ann', password };
  await api.call('POST', '/api/v1/invitations/accept', 201, { key: null, json });
  const signedIn = await api.fetch('POST', '/api/v1/session', {
    key: null,
    json: { email: invitation.email, password },
  });
  const headers = { cookie: signedIn.headers.get('set-cookie') ?? '' };
  expect(await api.call('GET', '/api/v1/me', 200, { key: null, headers })).toMatchObject({
    ...{ teamId: team.id, role: 'owner', operator: false },
  });
  expect((await api.fetch('GET', '/api/v1/teams', { key: null, headers })).status).toBe(403);
  const { data } = await api.call<Page<AuditEntry>>('GET', `/api/v1/audit?target=${team.id}`, 200);
  expect(data).toMatchObject([{ change: 'make', details: { owner: 'research@example.org', weight: 2 } }]);
});

it('are listed, renamed, and given other quotas', async () => {
  const { id } = await make('ops');
  const path = `/api/v1/teams/${id}`;
  const changed = await api.call('PATCH', path, 200, { json: { name: 'platform', maxQueued: 7 } });
  expect(changed).toMatchObject({ name: 'platform', maxQueued: 7, weight: 1 });
  expect(await api.call('GET', path, 200)).toEqual(changed);
  const { data } = await api.call<{ data: Team[] }>('GET', '/api/v1/teams', 200);
  expect(data.map(({ name }) => name)).toEqual(expect.arrayContaining(['test', 'platform']));
});

it('have names of their own', async () => {
  const { id } = await make('one');
  await make('two');
  const taken = { status: 409, code: 'name_taken' };
  expect(
    await api.refusal('POST', '/api/v1/teams', { json: { name: 'one', owner: 'a@example.org' } }),
  ).toMatchObject(taken);
  expect(await api.refusal('PATCH', `/api/v1/teams/${id}`, { json: { name: 'two' } })).toMatchObject(taken);
  await api.call('PATCH', `/api/v1/teams/${id}`, 200, { json: { name: 'one' } });
  const nobody = `/api/v1/teams/team_${'a'.repeat(24)}`;
  expect(await api.refusal('PATCH', nobody, { json: {} })).toMatchObject({ status: 404 });
});
