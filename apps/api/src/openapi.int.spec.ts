import { type OpenAPIObject } from '@nestjs/swagger';
import { TestApi } from './test/api';

interface Operation {
  summary?: string;
  security?: unknown[];
  requestBody?: { content: Record<string, { schema: object }> };
  parameters?: { name: string; in: string; schema?: object }[];
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>;
}

let api: TestApi;
let description: OpenAPIObject;
let operations: [string, Operation][];
beforeAll(async () => {
  api = await TestApi.start();
  description = await api.call('GET', '/docs-json', 200);
  operations = Object.entries(description.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`,
      operation as Operation,
    ]),
  );
});
afterAll(() => api.close());

it('describes every route, and no other', () => {
  const routes = api.routes.filter((route) => !/^HEAD | \/docs/.test(route));
  expect(operations.map(([route]) => route).sort()).toEqual(routes.sort());
});

it('gives every operation a summary, a described answer and the error body', () => {
  for (const [route, { summary, responses }] of operations) {
    expect([route, summary]).toEqual([route, expect.stringMatching(/\w/)]);
    const success = Object.entries(responses).find(([status]) => status.startsWith('2'));
    expect([route, success?.[1].description]).toEqual([route, expect.stringMatching(/\w/)]);
    if (success?.[0] !== '204')
      expect([route, Object.keys(success?.[1].content ?? {})]).toEqual([route, [expect.any(String)]]);
    const error = route.includes(' /v1/') ? 'OpenAiErrorDto_Output' : 'ErrorBody_Output';
    expect(responses['default']?.content?.['application/json']?.schema).toEqual({
      $ref: `#/components/schemas/${error}`,
    });
  }
});

it('describes bodies and path parameters', () => {
  for (const [route, { requestBody, parameters = [] }] of operations) {
    if (
      route.startsWith('POST') &&
      !/\/(cancel|pause|resume|retry|replay|complete|leave|password-reset|restore|rollback|checkpoints\/:step\/promote|rotate-secret|test|undrain)$/.test(
        route,
      )
    )
      expect([route, Object.values(requestBody?.content ?? {})[0]?.schema]).toEqual([
        route,
        expect.anything(),
      ]);
    const inPath = parameters.filter((one) => one.in === 'path').map((one) => one.name);
    expect([route, inPath]).toEqual([route, [...route.matchAll(/:(\w+)/g)].map((match) => match[1])]);
  }
});

it('shows the recipe with its defaults', () => {
  const text = JSON.stringify(description.components?.schemas?.['CreateJobDto']);
  expect(text).toContain('"learningRate":{"default":0.0002');
  expect(text).toContain('"rank":{"default":16');
});

it('refers to nothing that is not there, and to all that is', () => {
  const text = JSON.stringify(description);
  const referred = new Set([...text.matchAll(/#\/components\/schemas\/([\w.]+)/g)].map((match) => match[1]));
  const present = Object.keys(description.components?.schemas ?? {});
  expect(present.filter((name) => !referred.has(name))).toEqual([]);
  expect([...referred].filter((name) => !present.includes(String(name)))).toEqual([]);
});

it('asks for an API key everywhere but where anybody may come', () => {
  expect(description.security).toEqual([{ apiKey: [] }]);
  expect(description.components?.securitySchemes).toMatchObject({
    apiKey: { type: 'http', scheme: 'bearer' },
  });
  expect(operations.filter(([, { security }]) => security !== undefined).map(([route]) => route)).toEqual([
    'GET /health',
    'POST /api/v1/session',
    'POST /api/v1/session/key',
    'POST /api/v1/password-resets/use',
    'POST /api/v1/invitations/accept',
  ]);
});

it('is shown at /docs', async () => {
  const page = await api.fetch('GET', '/docs');
  expect(page.status).toBe(200);
  expect(await page.text()).toContain('Swagger UI');
});
