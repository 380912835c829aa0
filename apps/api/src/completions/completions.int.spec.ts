import { type Team, type UsageReport } from '@lowrank/contracts';
import { createApiKey } from '@lowrank/domain';
import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import OpenAI from 'openai';
import { z } from 'zod';
import { type TestApi } from '../test/api';
import { UsageRecorder } from '../usage/usage-recorder';
import { refused } from '../test/openai';
import { ServedApi } from '../test/served-api';

let served: ServedApi;
let api: TestApi;
let client: OpenAI;

beforeAll(async () => {
  served = await ServedApi.start(2);
  ({ api, client } = served);
}, 120_000);
afterAll(() => served.close());

const execute = promisify(execFile);
const messages = [{ role: 'user' as const, content: '1+2' }];
const body = { model: 'tiny', messages, temperature: 0, max_tokens: 8 };
/** Of the same request again, more of the prompt may be known. */
const usageOf = ({ usage }: { usage?: OpenAI.CompletionUsage | undefined }) => ({
  completion_tokens: usage?.completion_tokens,
  total_tokens: usage?.total_tokens,
});

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

it("streams a text to OpenAI's client, and what either kind took at its end", async () => {
  const usage = { stream: true, stream_options: { include_usage: true } } as const;
  const asked = { model: 'tiny', prompt: 'ab', temperature: 0, max_tokens: 8 };
  const whole = await client.completions.create(asked);
  const parts: OpenAI.Completion[] = [];
  for await (const part of await client.completions.create({ ...asked, ...usage })) parts.push(part);
  expect(parts.length).toBeGreaterThan(3);
  expect(parts.map(({ choices }) => choices[0]?.text ?? '').join('')).toBe(whole.choices[0]?.text);
  expect(parts.at(-2)?.choices[0]?.finish_reason).toBe(whole.choices[0]?.finish_reason);
  expect(parts.at(-1)).toMatchObject({ object: 'text_completion', choices: [], usage: usageOf(whole) });
  const chat = await client.chat.completions.create(body);
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of await client.chat.completions.create({ ...body, ...usage })) chunks.push(chunk);
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: usageOf(chat) });
  expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
});

it('answers curl, as the README asks it, whole and streamed', async () => {
  const readme = await readFile(join(__dirname, '../../../../README.md'), 'utf8');
  const command = /^curl [^\n]*\/v1\/chat\/completions \\\n[^\n#]*'/m.exec(readme)?.[0] ?? '';
  const words = (command.match(/'[^']*'|"[^"]*"|[^\s\\]+/g) ?? []).map((word) =>
    word
      .replace(/^['"]|['"]$/g, '')
      .replace('$KEY', api.memberKey)
      .replace('http://127.0.0.1:7380', api.url)
      .replace('support-tone', 'captain'),
  );
  const [curl = '', ...args] = words;
  expect([curl, args.length]).toEqual(['curl', 7]);
  const { stdout } = await execute(curl, args);
  const { choices } = JSON.parse(stdout) as OpenAI.ChatCompletion;
  expect(choices[0]?.message.content).toEqual(expect.any(String));
  const streamed = args.map((word) => word.replace(/^\{/, '{"stream": true, "max_tokens": 8, '));
  const events = (await execute(curl, ['-N', ...streamed])).stdout.split('\n\n');
  expect(events.slice(-2)).toEqual(['data: [DONE]', '']);
  expect(events.length).toBeGreaterThan(4);
  for (const event of events.slice(0, -2)) {
    expect(event.slice(0, 6)).toBe('data: ');
    expect(JSON.parse(event.slice(6))).toMatchObject({ object: 'chat.completion.chunk' });
  }
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

it("gives OpenAI's client what zod's schemas say", async () => {
  const shape = z.object({
    id: z.uuid(),
    day: z.iso.date(),
    pair: z.tuple([z.int().min(0).max(9), z.enum(['a', 'b'])]),
    step: z.number().min(0).max(2).multipleOf(0.25),
    code: z
      .string()
      .regex(/^(?!AA)[A-Z]{2,4}$/)
      .endsWith('Z'),
    kind: z.discriminatedUnion('is', [
      z.object({ is: z.literal('x'), n: z.null() }),
      z.object({ is: z.literal('y') }),
    ]),
  });
  // This model says anything, and its answer is short: no white space.
  const compact = Object.fromEntries([...'\t\n\r '].map((space) => [String(space.charCodeAt(0)), -100]));
  const completion = await client.chat.completions.create({
    ...{ ...body, max_tokens: 250, temperature: 1, seed: 5, logit_bias: compact },
    response_format: { type: 'json_schema', json_schema: { name: 'shape', schema: z.toJSONSchema(shape) } },
  });
  const [choice] = completion.choices;
  expect(choice?.finish_reason).toBe('stop');
  const given: unknown = JSON.parse(choice?.message.content ?? '');
  expect(shape.parse(given)).toEqual(given);
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
  expect(await ask({ functions: [] })).toMatchObject({
    ...{ status: 400, message: expect.stringContaining('functions') },
  });
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

it('answers no more once the tokens of the month are used up, until there are more', async () => {
  const team = async (change?: object) =>
    api.call<Team>(change === undefined ? 'GET' : 'PATCH', '/api/v1/team', 200, { json: change });
  expect((await team({ tokensPerMonth: 1_000_000 })).tokensPerMonth).toBe(1_000_000);
  await api.app.get(UsageRecorder).write();
  const { tokensUsed } = await team();
  const answer = async () => (await client.chat.completions.create(body)).usage?.total_tokens ?? 0;
  await team({ tokensPerMonth: tokensUsed + 1 });
  const taken = await answer();
  // What this process has counted counts before it is written down.
  const spent = {
    ...{ status: 429, code: 'quota_exceeded', type: 'insufficient_quota' },
    message: expect.stringContaining(`has used ${tokensUsed + taken} of its ${tokensUsed + 1} tokens`),
  };
  expect(await refused(client.chat.completions.create(body))).toMatchObject(spent);
  expect(await refused(client.chat.completions.create({ ...body, stream: true }))).toMatchObject(spent);
  expect(await refused(client.completions.create({ model: 'tiny', prompt: 'a' }))).toMatchObject(spent);
  await api.app.get(UsageRecorder).write();
  expect((await team()).tokensUsed).toBe(tokensUsed + taken);
  await team({ tokensPerMonth: tokensUsed + taken + 1 });
  expect(await answer()).toBe(taken);
  await team({ tokensPerMonth: null });
  expect(await answer()).toBe(taken);
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
    (await Promise.all([0, 1].map((i) => served.health(i)))).findIndex((seen) => (seen?.running ?? 0) > 0);
  const at = await busy();
  const server = served.servers[at] as ChildProcess;
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
