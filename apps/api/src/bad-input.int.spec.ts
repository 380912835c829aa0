import { type Dataset, errorBodySchema } from '@lowrank/contracts';
import { TestApi } from './test/api';

let api: TestApi;
let dataset: Dataset;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
  dataset = await api.upload();
});
afterAll(async () => {
  await api.call('GET', '/health', 200);
  expect(await api.call('GET', '/api/v1/jobs', 200)).toEqual({ data: [], hasMore: false });
  await api.close();
});

const submit = (overrides: Record<string, unknown>) =>
  api.refusal('POST', '/api/v1/jobs', {
    json: {
      baseModel: 'tiny',
      dataset: dataset.id,
      adapter: 'captain',
      recipe: { training: { sequenceLength: 64 } },
      ...overrides,
    },
  });

describe('a job', () => {
  it.each<[string, Record<string, unknown>, number, string, string]>([
    ['rank 0', { recipe: { lora: { rank: 0 } } }, 400, 'validation_failed', 'recipe.lora.rank'],
    ['rank 1.5', { recipe: { lora: { rank: 1.5 } } }, 400, 'validation_failed', 'recipe.lora.rank'],
    ['rank as text', { recipe: { lora: { rank: '16' } } }, 400, 'validation_failed', 'recipe.lora.rank'],
    ['an unknown recipe field', { recipe: { lora: { ranks: 8 } } }, 400, 'validation_failed', 'recipe.lora'],
    ['an unknown recipe part', { recipe: { magic: true } }, 400, 'validation_failed', 'recipe'],
    ['an unknown field', { colour: 1 }, 400, 'validation_failed', '(root)'],
    ['a priority beyond bounds', { priority: 101 }, 400, 'validation_failed', 'priority'],
    ['a broken priority', { priority: 0.5 }, 400, 'validation_failed', 'priority'],
    ['a time that is none', { deadline: 'soon' }, 400, 'validation_failed', 'deadline'],
    [
      'a device class that is no name',
      { placement: { deviceClasses: ['../x'] } },
      400,
      'validation_failed',
      'placement.deviceClasses.0',
    ],
    [
      'memory below nothing',
      { placement: { memoryBytes: -1 } },
      400,
      'validation_failed',
      'placement.memoryBytes',
    ],
    ['no dataset', { dataset: undefined }, 400, 'validation_failed', 'dataset'],
    ['no base model', { baseModel: undefined }, 400, 'validation_failed', 'baseModel'],
    ['no adapter', { adapter: null }, 400, 'validation_failed', 'adapter'],
    [
      'a learning rate of 0',
      { recipe: { optimizer: { learningRate: 0 } } },
      400,
      'validation_failed',
      'recipe.optimizer.learningRate',
    ],
    ['a path as adapter', { adapter: '../captain' }, 400, 'validation_failed', 'adapter'],
    ['a NUL in a name', { adapter: 'cap\0tain' }, 400, 'validation_failed', 'adapter'],
    ['a shell command as adapter', { adapter: 'a;reboot' }, 400, 'validation_failed', 'adapter'],
    ['a job id as dataset', { dataset: `job_${'a'.repeat(24)}` }, 400, 'validation_failed', 'dataset'],
    ['an unknown base model', { baseModel: 'gpt-5' }, 404, 'not_found', 'baseModel'],
    ['a base model with a path', { baseModel: '../../etc/passwd' }, 404, 'not_found', 'baseModel'],
    ['an unknown dataset', { dataset: `data_${'a'.repeat(24)}` }, 404, 'not_found', 'dataset'],
    [
      'too long sequences',
      { recipe: { training: { sequenceLength: 512 } } },
      422,
      'recipe_invalid',
      'recipe.training.sequenceLength',
    ],
    [
      'unknown targets',
      { recipe: { lora: { targets: ['embed'] }, training: { sequenceLength: 64 } } },
      422,
      'recipe_invalid',
      'recipe.lora.targets.0',
    ],
    [
      'a pattern that backtracks for ever',
      { recipe: { lora: { rankPattern: { '((((.+)+)+)+)+x': 4 } }, training: { sequenceLength: 64 } } },
      422,
      'recipe_invalid',
      'recipe.lora.rankPattern',
    ],
    [
      'layers that the base model lacks',
      { recipe: { lora: { layers: [0, 7] }, training: { sequenceLength: 64 } } },
      422,
      'recipe_invalid',
      'recipe.lora.layers.1',
    ],
  ])('with %s', async (_title, overrides, status, code, path) => {
    const error = await submit(overrides);
    expect(error).toMatchObject({ status, code });
    expect(error.details?.map((detail) => detail.path)).toContain(path);
  });

  it('with a NUL in the name of its base model', async () =>
    expect((await submit({ baseModel: 'ti\0ny' })).status).toBeLessThan(500));
});

describe('a body', () => {
  const post = (body: string, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
    api.refusal('POST', '/api/v1/jobs', { body, headers });

  it.each<[string, string, string, number, string]>([
    ['broken JSON', '{"a":', 'application/json', 400, 'validation_failed'],
    ['nothing', '', 'application/json', 400, 'validation_failed'],
    ['a list', '[]', 'application/json', 400, 'validation_failed'],
    ['null', 'null', 'application/json', 400, 'validation_failed'],
    ['a prototype', '{"__proto__":{"admin":true}}', 'application/json', 400, 'validation_failed'],
    [
      'deep nesting',
      `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
      'application/json',
      400,
      'validation_failed',
    ],
    ['more than a megabyte', `"${'x'.repeat(2 ** 20)}"`, 'application/json', 413, 'body_too_large'],
    ['plain text', 'hello', 'text/plain', 415, 'unsupported_media_type'],
    ['a form', 'a=b', 'application/x-www-form-urlencoded', 415, 'unsupported_media_type'],
    [
      'a multipart form where JSON belongs',
      '--x--',
      'multipart/form-data; boundary=x',
      400,
      'validation_failed',
    ],
  ])('of %s', async (_title, body, type, status, code) =>
    expect(await post(body, { 'content-type': type })).toMatchObject({ status, code }),
  );
});

describe('a path', () => {
  // Injected, because a client would tidy them up.
  const names = [
    '..%2f..%2fetc%2fpasswd',
    '%2e%2e%2fx',
    '..',
    '%00',
    'a%00b',
    'a%2fb',
    '%c0%ae',
    '%zz',
    '%',
    'x'.repeat(2000),
    '#',
    '%23',
    '*',
  ];
  const patterns = [
    (name: string) => `/api/v1/base-models/${name}`,
    (name: string) => `/api/v1/base-models/tiny/files/${name}`,
    (name: string) => `/api/v1/files/${name}/content`,
    (name: string) => `/api/v1/jobs/${name}`,
    (name: string) => `/api/v1/adapters/${name}/versions/1/files/adapter_config.json`,
    (name: string) => `/api/v1/adapters/captain/versions/${name}`,
  ];

  it.each(patterns.flatMap((pattern) => names.map((name) => pattern(name))))(
    '%s reads nothing',
    async (url) => {
      const response = await api.app.inject({
        method: 'GET',
        url,
        headers: { authorization: `Bearer ${api.adminKey}` },
      });
      // `..` and `#` are tidied up even here and may end at a list.
      if (response.statusCode !== 200) {
        expect(response.statusCode).toBeGreaterThanOrEqual(400);
        expect(response.statusCode).toBeLessThan(500);
        expect(errorBodySchema.safeParse(response.json()).success).toBe(true);
      }
      expect(response.body).not.toContain('root:');
    },
  );

  it.each([
    'limit=0',
    'limit=1000',
    'limit=abc',
    'limit=1e9',
    'limit=1&limit=2',
    `after=${'x'.repeat(100)}`,
    'limit=-1',
    'limit=1.5',
  ])('with the query %s', async (query) => {
    for (const list of ['jobs', 'files', 'base-models', 'adapters'])
      expect(await api.refusal('GET', `/api/v1/${list}?${query}`)).toMatchObject({
        status: 400,
        code: 'validation_failed',
      });
  });

  it.each(['after=job_unknown', 'after=%00', "after='%3b--"])('with the cursor %s', async (query) => {
    for (const list of ['jobs', 'files', 'base-models', 'adapters'])
      expect((await api.fetch('GET', `/api/v1/${list}?${query}`)).status).toBeLessThan(500);
  });
});
