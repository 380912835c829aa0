import {
  type Adapter,
  type AdapterCard,
  type AdapterVersion,
  type Alias,
  type AliasMove,
  type NamedAliasMove,
  type Principal,
} from '@lowrank/contracts';
import { TestApi } from '../test/api';
import { publish, startAttempt, submit } from '../test/job';

let api: TestApi;
let keyId: string;
let keyName: string;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
  for (const content of ['one', 'two'])
    await publish(api, await startAttempt(api, await submit(api)), {
      'adapter_config.json': Buffer.from(content),
    });
  ({ id: keyId, name: keyName } = (await api.call<Principal>('GET', '/api/v1/me', 200)).actor);
});
afterAll(() => api.close());

const captain = '/api/v1/adapters/captain';
const move = (alias: string, version: string) =>
  api.call<Alias>('PUT', `${captain}/aliases/${alias}`, 200, { json: { version } });

it('moves, rolls back and removes an alias, which names a version everywhere', async () => {
  const content = async () =>
    (await api.fetch('GET', `${captain}/versions/prod/files/adapter_config.json`)).text();
  expect(await move('prod', 'v1')).toMatchObject({ name: 'prod', version: 1, movedBy: keyId });
  expect(await content()).toBe('one');
  await move('prod', 'latest');
  expect(await content()).toBe('two');
  expect((await api.call<AdapterVersion>('GET', `${captain}/versions/prod`, 200)).number).toBe(2);
  expect((await api.call<Adapter>('GET', captain, 200)).aliases).toEqual([{ name: 'prod', version: 2 }]);
  expect(
    (await api.fetch('GET', `${captain}/versions/prod/archive`)).headers.get('content-disposition'),
  ).toContain('captain-v2.tar');

  expect(await api.call('POST', `${captain}/aliases/prod/rollback`, 200)).toMatchObject({ version: 1 });
  expect(await api.refusal('POST', `${captain}/aliases/prod/rollback`)).toMatchObject({
    status: 409,
    code: 'conflict',
  });
  expect(await api.call('GET', `${captain}/aliases`, 200)).toMatchObject({
    data: [{ name: 'prod', version: 1 }],
  });
  await api.call('DELETE', `${captain}/aliases/prod`, 204);
  expect(await api.refusal('GET', `${captain}/versions/prod`)).toMatchObject({ status: 404 });

  const history = (query = '') =>
    api.call<{ data: NamedAliasMove[]; hasMore: boolean }>(
      'GET',
      `${captain}/aliases/prod/history${query}`,
      200,
    );
  const { data } = await history();
  expect(new Set(data.map(({ byName }) => byName))).toEqual(new Set([keyName]));
  expect(data.map(({ action, from, to, by }) => [action, from, to, by])).toEqual([
    ['remove', 1, null, keyId],
    ['rollback', 2, 1, keyId],
    ['move', 1, 2, keyId],
    ['move', null, 1, keyId],
  ]);
  expect(await history('?limit=3')).toEqual({ data: data.slice(0, 3), hasMore: true });
  expect(await history('?limit=3&before=2')).toEqual({ data: data.slice(3), hasMore: false });
});

it('moves an alias to one place only, though ten ask at once', async () => {
  const moved = await Promise.all(
    Array.from({ length: 10 }, (_, i) => move('racing', i % 2 === 0 ? 'v1' : 'v2')),
  );
  expect(moved).toHaveLength(10);
  const { data } = await api.call<{ data: AliasMove[] }>('GET', `${captain}/aliases/racing/history`, 200);
  expect(data.map(({ seq }) => seq)).toEqual(data.map((_, i) => data.length - i));
  data.slice(0, -1).forEach((later, i) => expect(later.from).toBe(data[i + 1]?.to));
});

it.each([
  ['PUT', '/aliases/prod', { version: 'v9' }, 404],
  ['PUT', '/aliases/prod', { version: 'v0' }, 400],
  ['PUT', '/aliases/prod', {}, 400],
  ['PUT', '/aliases/latest', { version: 'v1' }, 400],
  ['PUT', '/aliases/main', { version: 'v1' }, 400],
  ['PUT', '/aliases/v7', { version: 'v1' }, 400],
  ['PUT', `/aliases/${'a'.repeat(40)}`, { version: 'v1' }, 400],
  ['PUT', '/aliases/Prod', { version: 'v1' }, 400],
  ['DELETE', '/aliases/none', undefined, 404],
  ['POST', '/aliases/none/rollback', undefined, 404],
  ['PATCH', '', { tags: ['Upper'] }, 400],
  ['PATCH', '', { tags: Array.from({ length: 33 }, (_, i) => `t${i}`) }, 400],
  ['PATCH', '', { description: 'x'.repeat(1001) }, 400],
  ['PATCH', '', { name: 'other' }, 400],
])('answers %s %s %j with %d', async (method, path, json, status) =>
  expect(await api.refusal(method, `${captain}${path}`, { json })).toMatchObject({ status }),
);

it('describes an adapter, and gives a card that somebody may write', async () => {
  const json = { description: ' Answers as a captain. ', tags: ['sea', 'de', 'sea'] };
  expect(await api.call('PATCH', captain, 200, { json })).toMatchObject({
    description: 'Answers as a captain.',
    tags: ['de', 'sea'],
  });
  const card = () => api.call<AdapterCard>('GET', `${captain}/card`, 200);
  expect(await card()).toMatchObject({ isGenerated: true, text: expect.stringContaining('test/captain') });
  await api.call('PATCH', captain, 200, { json: { card: '# Mine' } });
  expect(await card()).toEqual({ text: '# Mine', isGenerated: false });
  await api.call('PATCH', captain, 200, { json: { card: null } });
  expect((await card()).isGenerated).toBe(true);
});
