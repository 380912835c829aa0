import {
  type ChatCompletionAnswer,
  chatCompletionAnswerSchema,
  type ChatCompletionInput,
  errorBodySchema,
  type ServeTarget,
  textCompletionAnswerSchema,
} from '@lowrank/contracts';
import { type Adapter } from '@lowrank/kernels';
import Ajv2020 from 'ajv/dist/2020';
import { setTimeout as sleep } from 'node:timers/promises';
import { trailerOf } from '../test/trailer';
import { type Served, World } from '../test/world';

let world: World;
let served: Served;
let adapter: Adapter;
let target: ServeTarget;
const messages = [{ role: 'user' as const, content: '1+2' }];

beforeAll(async () => {
  world = await World.make();
  ({ adapter, target } = await world.addAdapter(4));
  served = await world.serve();
});
afterAll(async () => {
  await served.close();
  await world.end();
});

const chat = (to: ServeTarget, body: Partial<ChatCompletionInput> = {}, server = served) =>
  server.send(to, {
    kind: 'chat',
    body: { model: 'captain@v1', messages, temperature: 0, max_tokens: 12, ...body },
  });

const answer = async (response: Promise<Response>): Promise<ChatCompletionAnswer> => {
  const { status, body } = await response.then(async (got) => ({
    status: got.status,
    body: await got.text(),
  }));
  expect([status, body]).toEqual([200, body]);
  return chatCompletionAnswerSchema.parse(JSON.parse(body));
};

const refusal = async (response: Promise<Response>) => {
  const got = await response;
  return { status: got.status, headers: got.headers, ...errorBodySchema.parse(await got.json()).error };
};

const events = async (response: Promise<Response>): Promise<string[]> =>
  (await (await response).text())
    .split('\n\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^data: /, ''));

/** By its definition, in doubles. */
function logSoftmax(logits: Float32Array): number[] {
  const most = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return Array.from(logits, (logit) => logit - most - Math.log(sum));
}

describe('a conversation', () => {
  it('is answered as generation one at a time does, by the base and by the adapter', async () => {
    const bare = await world.expected(messages, null, 12);
    const adapted = await world.expected(messages, adapter, 12);
    const { choices, usage, model } = await answer(chat(target));
    expect(choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: adapted.text, refusal: null },
        logprobs: null,
        finish_reason: adapted.reason === 'stop' ? 'stop' : 'length',
      },
    ]);
    expect(usage).toEqual({
      prompt_tokens: adapted.promptTokens,
      completion_tokens: adapted.tokens,
      total_tokens: adapted.promptTokens + adapted.tokens,
      prompt_tokens_details: { cached_tokens: 0 },
    });
    expect(model).toBe('captain@v1');
    expect((await answer(chat(world.baseTarget))).choices[0]?.message.content).toBe(bare.text);
    expect(bare.text).not.toBe(adapted.text);
  });

  it('comes in pieces that make the same answer, with the usage at the end where it is asked for', async () => {
    const { text } = await world.expected(messages, adapter, 12);
    const lines = await events(chat(target, { stream: true, stream_options: { include_usage: true } }));
    expect(lines.at(-1)).toBe('[DONE]');
    const chunks = lines.slice(0, -1).map((line) => JSON.parse(line));
    expect(new Set(chunks.map(({ id, object }) => `${id} ${object}`)).size).toBe(1);
    expect(chunks[0]).toMatchObject({
      object: 'chat.completion.chunk',
      choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }],
      usage: null,
    });
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(text);
    expect(chunks.at(-2).choices[0].finish_reason).toMatch(/stop|length/);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: expect.any(Number) } });
    const plain = await events(chat(target, { stream: true }));
    expect(plain.some((line) => line.includes('usage'))).toBe(false);
  });

  it('ends before a stop string, without it', async () => {
    const { text } = await world.expected(messages, null, 12);
    const stop = text.slice(3, 6);
    const { choices } = await answer(chat(world.baseTarget, { stop: [stop] }));
    expect(choices[0]).toMatchObject({
      message: { content: text.slice(0, text.indexOf(stop)) },
      finish_reason: 'stop',
    });
  });

  it('is the same for the same seed, and has as many answers as are asked for', async () => {
    const draw = async (seed: number) =>
      (await answer(chat(target, { temperature: 1.5, seed, n: 3 }))).choices.map(
        ({ message }) => message.content,
      );
    const first = await draw(1);
    expect(await draw(1)).toEqual(first);
    expect(new Set([...first, ...(await draw(2))]).size).toBeGreaterThan(2);
  });

  it('takes penalties, biases and thresholds into account', async () => {
    const { text } = await world.expected(messages, null, 12);
    const [first = 0] = world.tokenizer.encode(text);
    const say = async (how: Partial<ChatCompletionInput>) =>
      (await answer(chat(world.baseTarget, how))).choices[0]?.message.content ?? '';
    expect(world.tokenizer.encode(await say({ logit_bias: { [first]: -100 } }))[0]).not.toBe(first);
    expect(new Set(world.tokenizer.encode(await say({ logit_bias: { [first]: 100 } })))).toEqual(
      new Set([first]),
    );
    const once = world.tokenizer.encode(
      await say({
        logit_bias: { [first]: 50 },
        presence_penalty: 2,
        frequency_penalty: 2,
        repetition_penalty: 10,
      }),
    );
    expect(once.filter((token) => token === first).length).toBeLessThan(12);
    // Nothing but the likeliest token has as much probability as it has.
    expect(await say({ temperature: 2, min_p: 1, seed: 3 })).toBe(text);
  });

  it('has log-probabilities, as the logits say, whole and in pieces', async () => {
    const asked = { logprobs: true, top_logprobs: 3 };
    const { choices } = await answer(chat(target, asked));
    const content = choices[0]?.logprobs?.content ?? [];
    expect(content.length).toBeGreaterThan(3);
    const prompt = world.tokenizer.encode(world.tokenizer.render(messages, { addGenerationPrompt: true }));
    const session = world.base.openSession({ adapter, capacity: 256 });
    await session.append(Int32Array.from(prompt));
    for (const { bytes, logprob, top_logprobs: top } of content) {
      const expected = logSoftmax(session.logits());
      const best = [...expected].sort((a, b) => b - a);
      // The tiny model has a token for each byte. These answers are greedy.
      const id = expected.indexOf(best[0] as number);
      expect(bytes).toEqual([...(world.tokenizer.bytesOf(id) ?? [])]);
      expect(logprob).toBeCloseTo(best[0] as number, 4);
      expect(top.map((other) => other.logprob)).toEqual(
        best.slice(0, 3).map((value) => expect.closeTo(value, 4) as unknown),
      );
      expect(top[0]?.bytes).toEqual(bytes);
      await session.append(Int32Array.of(id));
    }
    session.close();
    const lines = await events(chat(target, { ...asked, stream: true }));
    const parts = lines.slice(0, -1).map((line) => JSON.parse(line).choices[0]);
    expect(parts.flatMap(({ logprobs }) => logprobs?.content ?? [])).toEqual(content);
    expect((await refusal(chat(target, { top_logprobs: 2 }))).details).toMatchObject([
      { path: expect.stringContaining('top_logprobs') },
    ]);
  });

  it('is answered to many at once as to each alone', async () => {
    const other = await world.addAdapter(2);
    const expected = await Promise.all(
      [null, adapter, other.adapter].map((one) => world.expected(messages, one, 12)),
    );
    const targets = [world.baseTarget, target, other.target];
    const answers = await Promise.all(
      Array.from({ length: 9 }, (_, i) => answer(chat(targets[i % 3] as ServeTarget))),
    );
    answers.forEach(({ choices }, i) => expect(choices[0]?.message.content).toBe(expected[i % 3]?.text));
    // Of two adapters that nobody holds any more, one stays.
    expect(await served.health()).toEqual({ status: 'ready', bases: 1, adapters: 1, running: 0, waiting: 0 });
  });
});

describe('JSON', () => {
  const schema = {
    type: 'object',
    properties: {
      mood: { enum: ['good', 'bad'] },
      words: { type: 'array', items: { type: 'string', maxLength: 3 }, maxItems: 2 },
      count: { type: ['integer', 'null'], minimum: 0, maximum: 9 },
    },
    required: ['mood', 'words'],
    additionalProperties: false,
  };
  const format = (of: Record<string, unknown>) => ({
    response_format: { type: 'json_schema' as const, json_schema: { name: 'thing', schema: of } },
  });

  it('is of the schema, whatever the model would say, or it is cut off', async () => {
    const isValid = new Ajv2020({ allowUnionTypes: true }).compile(schema);
    const asked = { ...format(schema), temperature: 2, max_tokens: 150 };
    const plain = await answer(chat(target));
    // A whole batch of them, with others that are not held to anything among them.
    const [beside, ...answers] = await Promise.all([
      answer(chat(target)),
      ...Array.from({ length: 8 }, (_, seed) => answer(chat(target, { ...asked, seed }))),
    ]);
    expect(beside?.choices).toEqual(plain.choices);
    const texts = answers.map(({ choices }) => choices[0]?.message.content ?? '');
    for (const [i, { choices }] of answers.entries()) {
      if (choices[0]?.finish_reason === 'length') continue;
      expect([texts[i], isValid(JSON.parse(texts[i] as string))]).toEqual([texts[i], true]);
    }
    expect(answers.filter(({ choices }) => choices[0]?.finish_reason === 'stop').length).toBeGreaterThan(0);
    expect(new Set(texts).size).toBeGreaterThan(1);
    const [cut] = (await answer(chat(target, { ...format({ const: 'a long text' }), max_tokens: 5 })))
      .choices;
    expect(cut).toMatchObject({ message: { content: '"a lo' }, finish_reason: 'length' });
  });

  it('ends by itself, and comes in pieces too', async () => {
    const whole = { ...format({ enum: [[1, 'two']] }), max_tokens: 50, logprobs: true };
    const { choices, usage } = await answer(chat(target, whole));
    expect(choices[0]).toMatchObject({ message: { content: '[1,"two"]' }, finish_reason: 'stop' });
    expect(choices[0]?.logprobs?.content).toHaveLength(9);
    expect(usage.completion_tokens).toBe(9);
    const lines = await events(chat(target, { ...whole, stream: true }));
    const text = lines.slice(0, -1).map((line) => JSON.parse(line).choices[0].delta.content ?? '');
    expect(text.join('')).toBe('[1,"two"]');
    const object = await answer(chat(target, { response_format: { type: 'json_object' }, max_tokens: 30 }));
    expect(object.choices[0]?.message.content).toMatch(/^\{/);
  });

  it('says what of a schema it does not serve, as a stream too', async () => {
    for (const stream of [false, true])
      expect(await refusal(chat(target, { ...format({ type: 'number', not: {} }), stream }))).toMatchObject({
        ...{ status: 400, code: 'validation_failed' },
        details: [{ path: 'response_format.json_schema.schema.not' }],
      });
    expect((await refusal(chat(target, { ...format(schema), stop: 'x' }))).status).toBe(400);
  });
});

it('goes on from a text, which comes first where that is asked for', async () => {
  const complete = (echo: boolean) =>
    served.send(world.baseTarget, {
      kind: 'text',
      body: { model: 'tiny', prompt: 'ab', temperature: 0, max_tokens: 5, echo },
    });
  const read = async (echo: boolean) =>
    textCompletionAnswerSchema.parse(await (await complete(echo)).json()).choices[0]?.text;
  const alone = await read(false);
  expect(await read(true)).toBe(`ab${alone}`);
});

describe('what it tells', () => {
  it('has the tokens of each answer, of a stream and of one whose client has left too', async () => {
    const { usage } = await answer(chat(target));
    const whole = await chat(target);
    const tokens = JSON.parse(whole.headers.get('x-lowrank-usage') ?? '');
    expect(tokens).toEqual({
      prompt: usage.prompt_tokens,
      cached: expect.any(Number),
      completion: usage.completion_tokens,
    });
    const body = { model: 'x', messages, temperature: 0, stream: true };
    expect(await trailerOf(served, target, { ...body, max_tokens: 12 })).toEqual(tokens);
    const long = { ...body, max_tokens: 200, logit_bias: { 97: 100 } };
    const taken = await trailerOf(served, target, long, { leaves: true });
    expect(taken.prompt).toBe(tokens.prompt);
    expect(taken.completion).toBeGreaterThan(0);
    expect(taken.completion).toBeLessThan(200);
    expect((await served.ask('DELETE', '/v1/completions/none')).status).toBe(404);
  });

  it('has metrics for Prometheus, and for nobody else', async () => {
    expect((await served.ask('GET', '/metrics', 'somebody')).status).toBe(401);
    const text = await (await served.ask('GET', '/metrics', 'a-token-of-prometheus')).text();
    const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
    expect(
      value('lowrank_serve_requests_total{kind="chat",outcome="answered"}'.replace(/[{}]/g, '\\$&')),
    ).toBeGreaterThan(5);
    expect(value('lowrank_serve_requests_total{kind="chat",outcome="left"}'.replace(/[{}]/g, '\\$&'))).toBe(
      1,
    );
    expect(value('lowrank_serve_tokens_total\\{type="completion"\\}')).toBeGreaterThan(50);
    expect(value('lowrank_serve_first_token_seconds_count')).toBeGreaterThan(5);
    expect(value('lowrank_serve_token_seconds_count')).toBeGreaterThan(50);
    expect(value('lowrank_serve_cache_pages\\{state="free"\\}')).toBe(64);
    expect(value('lowrank_serve_resident\\{kind="base"\\}')).toBe(1);
    for (const kind of ['base', 'adapter'])
      expect(value(`lowrank_serve_resident_bytes\\{kind="${kind}"\\}`)).toBeGreaterThan(1000);
    expect(value('lowrank_serve_loads_total\\{kind="adapter"\\}')).toBeGreaterThan(1);
    expect((await served.ask('GET', '/v1/completions', 'a-token-of-prometheus')).status).toBe(401);
  });
});

it('drains: what has begun is finished, and more is sent elsewhere', async () => {
  const small = await world.serve({ running: 1 });
  const end = await small.turns.take('others', new AbortController().signal);
  const last = chat(target, {}, small);
  while ((await small.health()).waiting !== 1) await sleep(5);
  const drained = small.inFlight.drain(60_000);
  expect(await small.health()).toMatchObject({ status: 'draining' });
  const { status, code, headers } = await refusal(chat(target, {}, small));
  expect([status, code, headers.get('retry-after')]).toEqual([503, 'server_draining', '2']);
  end();
  expect((await answer(last)).choices[0]?.finish_reason).toMatch(/stop|length/);
  await drained;
  await small.close();
});

describe('refusals', () => {
  it('lets in nobody but the API', async () => {
    const body = { model: 'tiny', messages };
    const stranger = served.send(world.baseTarget, { kind: 'chat', body }, { key: 'another-token-it-is' });
    expect(await refusal(stranger)).toMatchObject({ status: 401, code: 'unauthorized' });
  });

  it('refuses a prompt without room for an answer, as a stream too', async () => {
    const long = [{ role: 'user' as const, content: 'x'.repeat(300) }];
    for (const stream of [false, true])
      expect(await refusal(chat(target, { messages: long, stream }))).toMatchObject({
        status: 400,
        code: 'context_exceeded',
        message: expect.stringContaining('there is room for 256'),
      });
  });

  it('serves an adapter with no other template than its own', async () => {
    const strange: ServeTarget = {
      ...target,
      adapter: target.adapter && { ...target.adapter, templateSha256: '0'.repeat(64) },
    };
    expect(await refusal(chat(strange))).toMatchObject({ status: 409, code: 'template_mismatch' });
  });

  it('says what of a request it does not know', async () => {
    const response = served.send(target, { kind: 'chat', body: { model: 'x', messages: [] } });
    expect(await refusal(response)).toMatchObject({ status: 400, code: 'validation_failed' });
  });

  it('says which token of a bias the model has not', async () => {
    expect(await refusal(chat(target, { logit_bias: { 100000: 1 } }))).toMatchObject({
      status: 400,
      details: [{ path: 'logit_bias.100000' }],
    });
  });

  it('says that it is busy, and for how long to stay away', async () => {
    const small = await world.serve({ running: 1, waiting: 0 });
    try {
      const end = await small.turns.take('others', new AbortController().signal);
      const { status, code, headers } = await refusal(chat(target, {}, small));
      expect([status, code, headers.get('retry-after')]).toEqual([429, 'server_busy', '2']);
      end();
      expect((await chat(target, {}, small)).status).toBe(200);
    } finally {
      await small.close();
    }
  });
});

it('forgets a client that leaves, and when it is closed answers what it has taken in', async () => {
  const small = await world.serve({ running: 1 });
  const end = await small.turns.take('others', new AbortController().signal);
  const waiting = async (count: number) => {
    while ((await small.health()).waiting !== count) await sleep(5);
  };
  const leaving = new AbortController();
  const body: ChatCompletionInput = { model: 'x', messages, temperature: 0, max_tokens: 12 };
  const left = small.send(target, { kind: 'chat', body }, { signal: leaving.signal });
  await waiting(1);
  leaving.abort();
  await expect(left).rejects.toThrow('aborted');
  await waiting(0);

  const last = chat(target, {}, small);
  await waiting(1);
  const closing = small.close();
  end();
  const { text } = await world.expected(messages, adapter, 12);
  expect((await answer(last)).choices[0]?.message.content).toBe(text);
  await closing;
});
