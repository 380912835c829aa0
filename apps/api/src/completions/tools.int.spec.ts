import { toolTemplates } from '@lowrank/testing';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { ServedApi } from '../test/served-api';

/* OpenAI's clients with functions to call. */
let served: ServedApi;
beforeAll(async () => {
  served = await ServedApi.start(1);
  await served.addBase('caller', toolTemplates.hermes);
}, 120_000);
afterAll(() => served.close());

const tools = [
  {
    type: 'function' as const,
    function: {
      name: 'add',
      strict: true,
      parameters: {
        type: 'object',
        properties: { a: { type: 'integer', minimum: 0, maximum: 9 } },
        required: ['a'],
        additionalProperties: false,
      },
    },
  },
];
const messages = [{ role: 'user' as const, content: '1' }];
/** This model says anything, and its answers are short: no white space. */
const compact = Object.fromEntries([...'\t\n\r '].map((space) => [String(space.charCodeAt(0)), -100]));
const body = { model: 'caller', messages, tools, logit_bias: compact, seed: 1, max_tokens: 100 };

it('go from a call to its result and on, in JavaScript', async () => {
  const { client } = served;
  const first = await client.chat.completions.create({ ...body, tool_choice: 'required' });
  const message = first.choices[0]?.message;
  const [call] = message?.tool_calls ?? [];
  if (message === undefined || call?.type !== 'function') throw new Error('nothing was called');
  expect([first.choices[0]?.finish_reason, call.function.name]).toEqual(['tool_calls', 'add']);
  const { a } = JSON.parse(call.function.arguments) as { a: number };
  expect(a).toBeLessThan(10);
  const next = await client.chat.completions.create({
    ...{ ...body, max_tokens: 4 },
    messages: [...messages, message, { role: 'tool', tool_call_id: call.id, content: String(a + 1) }],
  });
  expect(next.choices[0]?.finish_reason).toMatch(/^(stop|length)$/);
  expect(next.usage?.prompt_tokens).toBeGreaterThan(first.usage?.prompt_tokens ?? 0);
});

it('put a streamed call together, in JavaScript', async () => {
  const stream = served.client.chat.completions.stream({
    ...{ ...body, tool_choice: { type: 'function', function: { name: 'add' } } },
  });
  const completion = await stream.finalChatCompletion();
  const [call] = completion.choices[0]?.message.tool_calls ?? [];
  expect(call).toMatchObject({ type: 'function', function: { name: 'add' } });
  expect(JSON.parse(call?.function.arguments ?? '')).toEqual({ a: expect.any(Number) });
});

const python = resolve(__dirname, '../../../../tools/oracle/.venv/bin/python');
(existsSync(python) ? it : it.skip)(
  'do the same in Python',
  async () => {
    const script = resolve(__dirname, '../../../../tools/oracle/openai_tools.py');
    const env = { OPENAI_BASE_URL: `${served.api.url}/v1`, OPENAI_API_KEY: served.api.memberKey };
    const { stdout } = await promisify(execFile)(python, [script, 'caller'], { env });
    expect(JSON.parse(stdout)).toEqual({
      ...{ called: 'add', finish: 'tool_calls', streamed: true, thing: 'stop' },
      answered: expect.stringMatching(/^(stop|length)$/),
    });
  },
  60_000,
);
