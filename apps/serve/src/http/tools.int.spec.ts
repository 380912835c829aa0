import {
  type ChatCompletionAnswer,
  chatCompletionAnswerSchema,
  type ChatCompletionInput,
  errorBodySchema,
} from '@lowrank/contracts';
import { toolTemplates } from '@lowrank/testing';
import { type Served, World } from '../test/world';

const add = {
  type: 'function' as const,
  function: {
    name: 'add',
    parameters: {
      type: 'object',
      properties: { a: { $ref: '#/$defs/digit' }, b: { $ref: '#/$defs/digit' } },
      required: ['a', 'b'],
      $defs: { digit: { type: 'integer', minimum: 0, maximum: 9 } },
    },
  },
};
/** This model says anything, and its answers are short: no white space. */
const compact = Object.fromEntries([...'\t\n\r '].map((space) => [String(space.charCodeAt(0)), -100]));
const now = { type: 'function' as const, function: { name: 'now' } };
const messages: ChatCompletionInput['messages'] = [{ role: 'user', content: '1+2' }];

describe.each(Object.entries(toolTemplates))('a model that calls as %s does', (style, template) => {
  let world: World;
  let served: Served;
  beforeAll(async () => {
    world = await World.make(template);
    served = await world.serve();
  });
  afterAll(async () => {
    await served.close();
    await world.end();
  });

  const send = (body: Partial<ChatCompletionInput>) =>
    served.send(world.baseTarget, {
      kind: 'chat',
      body: {
        model: 'tiny',
        messages,
        tools: [add, now],
        logit_bias: compact,
        temperature: 1,
        seed: 3,
        max_tokens: 120,
        ...body,
      },
    });
  const ask = async (body: Partial<ChatCompletionInput>): Promise<ChatCompletionAnswer> => {
    const response = await send(body);
    const text = await response.text();
    expect([response.status, text]).toEqual([200, text]);
    return chatCompletionAnswerSchema.parse(JSON.parse(text));
  };
  const refused = async (body: Partial<ChatCompletionInput>) => {
    const response = await send(body);
    return [response.status, errorBodySchema.parse(await response.json()).error.details?.[0]?.path];
  };

  it('calls the function that is named, with arguments of its schema, whatever it would say', async () => {
    for (let seed = 0; seed < 5; seed += 1) {
      const { choices } = await ask({ tool_choice: { type: 'function', function: { name: 'add' } }, seed });
      const [choice] = choices;
      expect(choice).toMatchObject({
        finish_reason: 'tool_calls',
        message: { content: null, tool_calls: [{ id: expect.stringMatching(/^call_/), type: 'function' }] },
      });
      const { name, arguments: text } = choice?.message.tool_calls?.[0]?.function ?? {
        name: '',
        arguments: '',
      };
      const given = JSON.parse(text) as Record<string, number>;
      expect([name, Object.keys(given)]).toEqual(['add', ['a', 'b']]);
      for (const digit of Object.values(given)) expect('0123456789').toContain(String(digit));
    }
  });

  it('calls some function where it has to, one without parameters too', async () => {
    for (const [name, given] of [
      ['add', { a: expect.any(Number), b: expect.any(Number) }],
      ['now', {}],
    ] as const) {
      // Where both may come, its first letter is the likelier.
      const letter = { [String(name.charCodeAt(0))]: 100 };
      const { choices } = await ask({ tool_choice: 'required', logit_bias: { ...compact, ...letter } });
      const called = choices[0]?.message.tool_calls?.[0]?.function;
      expect([called?.name, JSON.parse(called?.arguments ?? '')]).toEqual([name, given]);
    }
  });

  it('streams a call as its name and pieces of its arguments', async () => {
    const body = { tool_choice: { type: 'function' as const, function: { name: 'add' } } };
    const whole = (await ask(body)).choices[0]?.message.tool_calls?.[0]?.function.arguments;
    const events = (await (await send({ ...body, stream: true })).text()).split('\n\n').slice(0, -2);
    const choices = events.map(
      (event) =>
        (
          JSON.parse(event.slice(6)) as {
            choices: [{ delta: { content?: string; tool_calls?: object[] }; finish_reason: string | null }];
          }
        ).choices[0],
    );
    const calls = choices.flatMap(({ delta }) => delta.tool_calls ?? []);
    expect(calls[0]).toEqual({
      ...{ index: 0, id: expect.stringMatching(/^call_/), type: 'function' },
      function: { name: 'add', arguments: '' },
    });
    const pieces = calls.slice(1) as { function: { arguments: string } }[];
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.map((piece) => piece.function.arguments).join('')).toBe(whole);
    expect(choices.at(-1)?.finish_reason).toBe('tool_calls');
    expect(choices.map(({ delta }) => delta.content ?? '').join('')).toBe('');
  });

  it('renders calls and their results as its template does', async () => {
    const calls = [
      { id: 'c1', type: 'function' as const, function: { name: 'add', arguments: '{"a": 1, "b": 2}' } },
    ];
    const conversation: ChatCompletionInput['messages'] = [
      ...messages,
      { role: 'assistant', content: null, refusal: null, tool_calls: calls },
      { role: 'tool', tool_call_id: 'c1', content: '3' },
    ];
    const { usage } = await ask({ messages: conversation, max_tokens: 1 });
    const given = { a: 1, b: 2 };
    const rendered = world.tokenizer.render(
      [
        { role: 'user', content: '1+2' },
        {
          role: 'assistant',
          tool_calls: [{ id: 'c1', type: 'function', function: { name: 'add', arguments: given } }],
        },
        { role: 'tool', tool_call_id: 'c1', content: '3' },
      ],
      { addGenerationPrompt: true, tools: [add, now] },
    );
    expect(rendered).toContain(style === 'hermes' ? '</tool_call>' : '"parameters": {"a": 1, "b": 2}');
    expect(usage.prompt_tokens).toBe(world.tokenizer.encode(rendered).length);
  });

  it('says in text what it says where it need not call, and is shown no tools where it may not', async () => {
    const auto = await ask({ temperature: 0, max_tokens: 5 });
    expect(auto.choices[0]?.message.tool_calls).toBeUndefined();
    const none = await ask({ temperature: 0, max_tokens: 5, tool_choice: 'none' });
    const without = await ask({ temperature: 0, max_tokens: 5, tools: null });
    expect(none.choices).toEqual(without.choices);
    expect(none.usage.prompt_tokens).toBe(without.usage.prompt_tokens);
    expect(auto.usage.prompt_tokens).toBeGreaterThan(none.usage.prompt_tokens);
  });

  it('names what is not had, with its place', async () => {
    const named = { type: 'function' as const, function: { name: 'odd' } };
    const odd = {
      type: 'function' as const,
      function: { name: 'odd', parameters: { type: 'object', properties: { n: { not: {} } } } },
    };
    expect(await refused({ tools: [add, odd], tool_choice: named })).toEqual([
      400,
      'tools.1.function.parameters.properties.n.not',
    ]);
    const strict = { ...odd, function: { ...odd.function, strict: true } };
    expect(await refused({ tools: [add, strict] })).toEqual([
      400,
      'tools.1.function.parameters.properties.n.not',
    ]);
    await ask({ tools: [add, odd], max_tokens: 1 });
    const body = (change: Partial<ChatCompletionInput>) => refused({ tool_choice: 'required', ...change });
    const at = 'completion.body';
    expect(await body({ tools: [] })).toEqual([400, `${at}.tool_choice`]);
    expect(await body({ tool_choice: named })).toEqual([400, `${at}.tool_choice`]);
    expect(await body({ tools: [add, add] })).toEqual([400, `${at}.tools`]);
    expect(await body({ stop: 'x' })).toEqual([400, `${at}.stop`]);
    expect(await body({ logprobs: true })).toEqual([400, `${at}.logprobs`]);
    expect(await body({ response_format: { type: 'json_object' } })).toEqual([400, `${at}.response_format`]);
  });
});

it('refuses tools for a model whose template shows none', async () => {
  const world = await World.make();
  const served = await world.serve();
  const body = { model: 'tiny', messages, tools: [add] };
  const response = await served.send(world.baseTarget, { kind: 'chat', body });
  expect([response.status, errorBodySchema.parse(await response.json()).error.details]).toEqual([
    400,
    [{ path: 'tools', message: expect.stringContaining('leave them out') }],
  ]);
  await served.close();
  await world.end();
});
