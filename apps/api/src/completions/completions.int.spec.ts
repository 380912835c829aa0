import { type ServeTarget } from '@lowrank/contracts';
import { createApiKey } from '@lowrank/domain';
import { freePort, makeBaseModel, writeTinyModel } from '@lowrank/testing';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { TestApi } from '../test/api';
import { refused } from '../test/openai';

/* The API in front of a server of its own, both as they are in the product. */
let api: TestApi;
let server: ChildProcess;
let folder: string;
let client: OpenAI;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-serve-'));
  const port = await freePort();
  const env = {
    LOWRANK_SERVE_TOKEN: 'a-token-of-these-tests',
    // Nothing listens on the first: port 1 is nobody's.
    LOWRANK_SERVE_URLS: `http://127.0.0.1:1,http://127.0.0.1:${port}`,
  };
  api = await TestApi.start(env);
  client = new OpenAI({ baseURL: `${api.url}/v1`, apiKey: api.memberKey, logLevel: 'off', maxRetries: 0 });
  server = fork(resolve(__dirname, '../../../serve/src/main.ts'), [], {
    env: {
      ...process.env,
      ...env,
      // Where the API of the tests keeps its objects.
      LOWRANK_DATA: api.folder,
      LOWRANK_SERVE_PORT: String(port),
      LOWRANK_LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const model = join(folder, 'model');
  await writeTinyModel(model);
  const files: ServeTarget['baseModel']['files'] = [];
  for (const path of await readdir(model))
    files.push({ path, ...(await api.blobs.putFile(join(model, path))) });
  await api.ports.unitOfWork.run(({ baseModels }) =>
    baseModels.insert(api.teamId, makeBaseModel({ name: 'tiny', files })),
  );
  const isUp = () =>
    fetch(`http://127.0.0.1:${port}/health`)
      .then(({ ok }) => ok)
      .catch(() => false);
  while (!(await isUp())) await sleep(50);
});
afterAll(async () => {
  const gone = once(server, 'exit');
  server.kill('SIGTERM');
  expect(await gone).toEqual([0, null]);
  await api.close();
  await rm(folder, { recursive: true });
});

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
