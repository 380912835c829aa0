import { type StoredFile, type UsageReport } from '@lowrank/contracts';
import { createApiKey, found } from '@lowrank/domain';
import {
  freePort,
  makeBaseModel,
  makeDataset,
  makeJob,
  makeManifest,
  tinyTemplate,
  writeTinyAdapter,
  writeTinyModel,
} from '@lowrank/testing';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { TestApi } from '../test/api';
import { UsageRecorder } from '../usage/usage-recorder';
import { refused } from '../test/openai';

/* The API in front of two servers, all as they are in the product. */
let api: TestApi;
let servers: ChildProcess[];
let ports: number[];
let folder: string;
let client: OpenAI;

const health = (port: number) =>
  fetch(`http://127.0.0.1:${port}/health`)
    .then((response) => response.json() as Promise<{ status: string; adapters: number; running: number }>)
    .catch(() => null);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-serve-'));
  ports = [await freePort(), await freePort()];
  const env = {
    LOWRANK_SERVE_TOKEN: 'a-token-of-these-tests',
    // Nothing listens on the first: port 1 is nobody's.
    LOWRANK_SERVE_URLS: ['http://127.0.0.1:1', ...ports.map((port) => `http://127.0.0.1:${port}`)].join(),
  };
  api = await TestApi.start(env);
  client = new OpenAI({ baseURL: `${api.url}/v1`, apiKey: api.memberKey, logLevel: 'off', maxRetries: 0 });
  servers = ports.map((port, i) =>
    fork(resolve(__dirname, '../../../serve/src/main.ts'), [], {
      env: {
        ...process.env,
        ...env,
        // Where the API of the tests keeps its objects.
        LOWRANK_DATA: i === 0 ? api.folder : join(api.folder, 'second'),
        LOWRANK_SERVE_PORT: String(port),
        LOWRANK_LOG_LEVEL: 'error',
      },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    }),
  );
  await symlinkObjects(join(api.folder, 'second'));
  const files = await stored('model', (to) => writeTinyModel(to));
  await api.ports.unitOfWork.run(({ baseModels }) =>
    baseModels.insert(api.teamId, makeBaseModel({ name: 'tiny', files })),
  );
  await publish(1);
  await publish(2);
  for (const port of ports) while ((await health(port)) === null) await sleep(50);
}, 120_000);
afterAll(async () => {
  for (const server of servers) {
    if (server.exitCode !== null) continue;
    const gone = once(server, 'exit');
    server.kill('SIGTERM');
    expect(await gone).toEqual([0, null]);
  }
  await api.close();
  await rm(folder, { recursive: true });
});

/** Both servers read the same objects and keep caches of their own. */
async function symlinkObjects(data: string): Promise<void> {
  await mkdir(data, { recursive: true });
  await mkdir(join(api.folder, 'objects'), { recursive: true });
  await symlink(join(api.folder, 'objects'), join(data, 'objects'));
}

async function stored(name: string, write: (to: string) => Promise<void>): Promise<StoredFile[]> {
  const from = join(folder, name);
  await write(from);
  const files: StoredFile[] = [];
  for (const path of await readdir(from))
    files.push({ path, ...(await api.blobs.putFile(join(from, path))) });
  return files;
}

/** Makes the next version of captain, which says something else than the others. */
async function publish(seed: number): Promise<void> {
  const files = await stored(`adapter-${seed}`, (to) => writeTinyAdapter(to, seed));
  const { ids, unitOfWork } = api.ports;
  await unitOfWork.run(async ({ adapters, baseModels, datasets, jobs }) => {
    const baseModel = found(await baseModels.find(api.teamId, 'tiny'), 'base model', 'tiny');
    const dataset = makeDataset();
    await datasets.insert(api.teamId, dataset);
    const job = makeJob(baseModel, dataset, { adapter: 'captain' });
    const adapter = { id: ids.make('adapter'), name: 'captain', baseModelName: 'tiny', at: job.createdAt };
    await adapters.ensure(api.teamId, adapter);
    await jobs.insert(api.teamId, job);
    const templateSha256 = createHash('sha256').update(tinyTemplate).digest('hex');
    const manifest = makeManifest(job, { files, templateSha256 });
    await adapters.publish(api.teamId, { id: ids.make('version'), manifest, at: new Date().toISOString() });
  });
}

const messages = [{ role: 'user' as const, content: '1+2' }];
const body = { model: 'tiny', messages, temperature: 0, max_tokens: 8 };

it("answers OpenAI's client by the server that is there", async () => {
  const { choices, model, usage } = await client.chat.completions.create(body);
  expect(model).toBe('tiny');
  expect(usage?.completion_tokens).toBeGreaterThan(0);
  const stream = await client.chat.completions.create({ ...body, stream: true });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  expect(text).toBe(choices[0]?.message.content);
  const completion = await client.completions.create({
    model: 'test/tiny',
    prompt: 'ab',
    temperature: 0,
    echo: true,
  });
  expect(completion.choices[0]?.text).toMatch(/^ab./);
});

it("gives OpenAI's client log-probabilities, streamed too", async () => {
  const asked = { ...body, logprobs: true, top_logprobs: 2 };
  const { choices } = await client.chat.completions.create(asked);
  const content = choices[0]?.logprobs?.content ?? [];
  expect(content.length).toBeGreaterThan(0);
  for (const { logprob, top_logprobs: top } of content) {
    expect(top).toHaveLength(2);
    expect(top[0]?.logprob).toBe(logprob);
    expect(logprob).toBeLessThanOrEqual(0);
  }
  const streamed = [];
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
    streamed.push(...(chunk.choices[0]?.logprobs?.content ?? []));
  expect(streamed).toEqual(content);
  const completion = await client.completions.create({
    ...{ model: 'tiny', prompt: 'ab', temperature: 0, max_tokens: 4, logprobs: 2 },
  });
  const logprobs = completion.choices[0]?.logprobs;
  expect(logprobs?.text_offset?.[0]).toBe(2);
  expect(logprobs?.tokens).toHaveLength(4);
  logprobs?.top_logprobs?.forEach((top, i) =>
    expect(top[logprobs.tokens?.[i] ?? '']).toBe(logprobs.token_logprobs?.[i]),
  );
});

it("gives OpenAI's client JSON of its schema", async () => {
  const schema = {
    type: 'object',
    properties: { answer: { type: 'integer' }, sure: { type: 'boolean' } },
    required: ['answer', 'sure'],
    additionalProperties: false,
  };
  const completion = await client.chat.completions.parse({
    ...{ ...body, max_tokens: 200, temperature: 1, seed: 5 },
    response_format: { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } },
  });
  const [choice] = completion.choices;
  expect(choice?.finish_reason).toBe('stop');
  expect(JSON.parse(choice?.message.content ?? '')).toEqual({
    answer: expect.any(Number),
    sure: expect.any(Boolean),
  });
});

it("passes a server's refusal on, of a stream too", async () => {
  const long = [{ role: 'user' as const, content: 'x'.repeat(300) }];
  const expected = { status: 400, code: 'context_length_exceeded', type: 'invalid_request_error' };
  expect(await refused(client.chat.completions.create({ ...body, messages: long }))).toMatchObject(expected);
  expect(
    await refused(client.chat.completions.create({ ...body, messages: long, stream: true })),
  ).toMatchObject(expected);
});

it('names what a request asks for and is not had', async () => {
  const ask = (change: object) => refused(client.chat.completions.create({ ...body, ...change }));
  expect(await ask({ model: 'none@v1' })).toMatchObject({
    ...{ status: 404, code: 'model_not_found', param: 'model' },
    message: expect.stringContaining("There is no model 'none@v1'."),
  });
  expect(await ask({ tools: [] })).toMatchObject({ status: 400, message: expect.stringContaining('tools') });
  expect(await ask({ temperature: 3 })).toMatchObject({ status: 400, param: 'temperature' });
});

it('answers viewers, and no key without the scope', async () => {
  const as = (apiKey: string) =>
    new OpenAI({ baseURL: `${api.url}/v1`, apiKey, logLevel: 'off', maxRetries: 0 });
  expect((await as(api.viewerKey).chat.completions.create(body)).choices).toHaveLength(1);
  const { secret } = await createApiKey(api.ports, api.teamId, {
    ...{ name: 'narrow', role: 'member', scopes: ['jobs:read'] },
  });
  expect(await refused(as(secret).chat.completions.create(body))).toMatchObject({ status: 403 });
});

const ask = async (model: string, more: object = {}) =>
  (await client.chat.completions.create({ ...body, model, max_tokens: 16, ...more })).choices[0]?.message
    .content ?? '';
const streamed = async (model: string) => {
  let text = '';
  for await (const chunk of await client.chat.completions.create({
    ...body,
    model,
    max_tokens: 16,
    stream: true,
  }))
    text += chunk.choices[0]?.delta.content ?? '';
  return text;
};
const move = async (version: string) => {
  const { status } = await api.fetch('PUT', '/api/v1/adapters/captain/aliases/prod', { json: { version } });
  expect(status).toBeLessThan(300);
};

it('answers each request wholly by one version, and fails none, while an alias moves', async () => {
  await move('v1');
  const [first, second] = [await ask('captain@v1'), await ask('captain@v2')];
  expect(first).not.toBe(second);
  const answers: string[] = [];
  let going = true;
  const clients = Array.from({ length: 4 }, async (_, i) => {
    while (going) answers.push(await (i % 2 === 0 ? ask : streamed)('captain@prod'));
  });
  const moved = async (version: string, text: string) => {
    await move(version);
    // The next request is answered by it.
    expect(await ask('captain@prod')).toBe(text);
  };
  for (const [version, text] of [
    ['v2', second],
    ['v1', first],
    ['v2', second],
  ] as const)
    await moved(version, text);
  going = false;
  await Promise.all(clients);
  expect(new Set(answers)).toEqual(new Set([first, second]));
  expect(answers.length).toBeGreaterThan(4);
});

it('counts tokens by team, key, model and day, those of clients that left too', async () => {
  const usage = async (query: string, key = api.memberKey) => {
    await api.app.get(UsageRecorder).write();
    const response = await api.fetch('GET', `/api/v1/usage${query}`, { key });
    expect(response.status).toBe(200);
    return (await response.json()) as UsageReport;
  };
  const of = async (model: string) => {
    const { data } = await usage('?by=model,actor');
    return (
      data.find((row) => row.model === model && row.actor?.type === 'key') ?? {
        requests: 0,
        tokens: { prompt: 0, completion: 0 },
      }
    );
  };
  const before = await of('captain@v2');
  const { usage: taken } = await client.chat.completions.create({
    ...body,
    model: 'captain-v2',
    max_tokens: 3,
  });
  const after = await of('captain@v2');
  expect(after.requests).toBe(before.requests + 1);
  expect(after.tokens.prompt).toBe(before.tokens.prompt + (taken?.prompt_tokens ?? 0));
  expect(after.tokens.completion).toBe(before.tokens.completion + (taken?.completion_tokens ?? 0));
  const long = {
    ...body,
    model: 'captain@v2',
    max_tokens: 200,
    logit_bias: { 97: 100 },
    stream: true,
  } as const;
  const stream = await client.chat.completions.create(long);
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  while ((await of('captain@v2')).requests === after.requests) await sleep(20);
  const left = await of('captain@v2');
  expect(left.tokens.prompt).toBe(after.tokens.prompt + (taken?.prompt_tokens ?? 0));
  expect(left.tokens.completion).toBeGreaterThan(after.tokens.completion);
  expect(left.tokens.completion).toBeLessThan(after.tokens.completion + 200);
  const teams = await usage('/teams?by=day', api.adminKey);
  expect(teams.data).toMatchObject([{ team: { id: api.teamId }, day: expect.any(String), model: null }]);
  expect((await usage('?by=day')).total).toEqual(teams.total);
});

it('goes on without a server that leaves, which finishes what it has begun', async () => {
  const expected = await ask('captain@v1', { max_tokens: 200, logit_bias: { 97: 100 } });
  const long = {
    ...body,
    model: 'captain@v1',
    max_tokens: 200,
    logit_bias: { 97: 100 },
    stream: true,
  } as const;
  const stream = await client.chat.completions.create(long);
  const busy = async () =>
    (await Promise.all(ports.map(health))).findIndex((seen) => (seen?.running ?? 0) > 0);
  const at = await busy();
  const server = servers[at] as ChildProcess;
  const gone = once(server, 'exit');
  server.kill('SIGTERM');
  let text = '';
  const reading = (async () => {
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  })();
  // While it drains, and after it has gone, the other one answers.
  for (let i = 0; i < 4; i += 1) expect(await ask('captain@v1')).toBe(await ask('captain@v1'));
  await reading;
  expect(text).toBe(expected);
  expect(await gone).toEqual([0, null]);
  expect(await ask('captain@v2')).not.toBe('');
});
