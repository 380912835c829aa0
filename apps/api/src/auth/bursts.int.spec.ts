import OpenAI from 'openai';
import { TestApi } from '../test/api';
import { refused } from '../test/openai';

let api: TestApi;
beforeAll(async () => {
  // Ten of a key at once, and one of an address with wrong keys.
  api = await TestApi.start({ LOWRANK_REQUESTS_PER_SECOND: '1' });
});
afterAll(() => api.close());

const statuses = async (times: number, key: string) => {
  const all: Response[] = [];
  while (all.length < times) all.push(await api.fetch('GET', '/api/v1/me', { key }));
  return all;
};

it('asks a caller that sends too much to wait, and nobody else', async () => {
  const answers = await statuses(30, api.memberKey);
  expect(answers.slice(0, 10).map(({ status }) => status)).toEqual(Array(10).fill(200));
  const last = answers.find(({ status }) => status !== 200);
  expect(last?.status).toBe(429);
  expect(last?.headers.get('retry-after')).toBe('1');
  expect(await last?.json()).toMatchObject({ error: { code: 'rate_limited' } });
  const client = new OpenAI({ baseURL: `${api.url}/v1`, apiKey: api.memberKey, maxRetries: 0 });
  expect(await refused(client.models.list())).toMatchObject({ status: 429, code: 'rate_limited' });
  expect((await api.fetch('GET', '/api/v1/me', { key: api.adminKey })).status).toBe(200);
  // The client waits as it is told, and tries again.
  expect((await client.models.list({ maxRetries: 3 })).data).toEqual([]);
});

it('asks an address that tries keys to wait, and keys that are right pass from there', async () => {
  const answers = await statuses(5, `lrk_${'a'.repeat(40)}`);
  expect(answers[0]?.status).toBe(401);
  expect(answers.at(-1)?.status).toBe(429);
  expect(Number(answers.at(-1)?.headers.get('retry-after'))).toBeGreaterThan(1);
  expect((await api.fetch('GET', '/api/v1/me', { key: api.viewerKey })).status).toBe(200);
  expect((await api.fetch('GET', '/health', { key: null })).status).toBe(200);
});
