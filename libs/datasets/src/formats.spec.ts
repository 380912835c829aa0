import { type ChatMessage, type DatasetFormat } from '@lowrank/contracts';
import { convertRow, type ConversationFormat, detectFormat, parseRow, unknownFormat } from './formats';
import { RowError } from './row-error';

const turns = (...contents: string[]): ChatMessage[] =>
  contents.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }));

/** [path, message] of what is thrown. */
function refusal(row: unknown, format: ConversationFormat): [string | undefined, string] {
  try {
    parseRow(row, format);
  } catch (error) {
    if (error instanceof RowError) return [error.path, error.message];
    throw error;
  }
  throw new Error('expected a RowError, but the row was taken');
}

describe('detectFormat', () => {
  it.each<[object, DatasetFormat | null]>([
    [{ messages: 1, prompt: 'a', completion: 'b' }, 'chat'],
    [{ prompt: 'a', completion: 'b' }, 'prompt-completion'],
    [{ prompt: 'a', response: 'b' }, 'prompt-completion'],
    [{ instruction: 'a', output: 'b', prompt: 'c', completion: 'd' }, 'alpaca'],
    [{ instruction: 'a', input: 'b' }, null],
    [{ conversations: 1, prompt: 'a', completion: 'b' }, 'sharegpt'],
    [{ prompt: 'a' }, null],
    [{ text: 'a' }, null],
    [{}, null],
    [[{ messages: [] }], null],
  ])('of %j', (row, format) => expect(detectFormat(row)).toBe(format));

  it.each([null, 1, 'messages', undefined])('of %j, which is no object', (row) =>
    expect(detectFormat(row)).toBeNull(),
  );
});

describe('parseRow', () => {
  it.each<[ConversationFormat, object, ChatMessage[]]>([
    ['chat', { messages: turns('a', 'b', 'c', 'd'), id: 7, tools: [] }, turns('a', 'b', 'c', 'd')],
    [
      'chat',
      { messages: [{ role: 'user', content: '', name: 'Ann' }, ...turns('x', 'b')] },
      [{ role: 'user', content: '' }, ...turns('x', 'b')],
    ],
    ['prompt-completion', { prompt: 'a', completion: ' b\n', x: 1 }, turns('a', ' b\n')],
    ['prompt-completion', { prompt: '', response: 'b' }, turns('', 'b')],
    ['prompt-completion', { prompt: 'a', completion: 'b', response: 'c' }, turns('a', 'b')],
    ['alpaca', { instruction: 'a', output: 'b' }, turns('a', 'b')],
    ['alpaca', { instruction: 'a', input: '', output: 'b' }, turns('a', 'b')],
    ['alpaca', { instruction: 'a', input: null, output: 'b' }, turns('a', 'b')],
    ['alpaca', { instruction: 'a', input: 'i', output: 'b' }, turns('a\n\ni', 'b')],
  ])('reads %s %j', (format, row, messages) => expect(parseRow(row, format)).toEqual({ messages }));

  it.each<[ConversationFormat, unknown, string | undefined, RegExp]>([
    ['chat', [], undefined, /JSON object/],
    ['chat', null, undefined, /JSON object/],
    ['alpaca', 'text', undefined, /JSON object/],
    ['chat', {}, 'messages', /list of \{role, content\}/],
    ['chat', { messages: 'hi' }, 'messages', /list of \{role, content\}/],
    ['chat', { messages: [] }, 'messages', /empty/],
    ['chat', { messages: ['hi'] }, 'messages.0', /object/],
    [
      'chat',
      { messages: [...turns('a', 'b'), { role: 'function', content: 'c' }] },
      'messages.2.role',
      /assistant/,
    ],
    ['chat', { messages: [{ role: 'Assistant', content: 'a' }] }, 'messages.0.role', /assistant/],
    ['chat', { messages: [{ content: 'a' }] }, 'messages.0.role', /assistant/],
    ['chat', { messages: [{ role: 'user' }] }, 'messages.0.content', /string/],
    [
      'chat',
      { messages: [...turns('a'), { role: 'assistant', content: null }] },
      'messages.1.content',
      /string/,
    ],
    [
      'chat',
      { messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }] }] },
      'messages.0.content',
      /string/,
    ],
    ['chat', { messages: turns('a') }, 'messages', /assistant/],
    ['chat', { messages: turns('a', ' \n') }, 'messages', /assistant/],
    ['prompt-completion', { completion: 'b' }, 'prompt', /prompt is missing/],
    ['prompt-completion', { prompt: 1, completion: 'b' }, 'prompt', /has to be text/],
    ['prompt-completion', { prompt: 'a' }, 'completion', /completion is missing/],
    ['prompt-completion', { prompt: 'a', completion: ' ' }, 'completion', /completion is empty/],
    ['prompt-completion', { prompt: 'a', response: {} }, 'response', /has to be text/],
    ['alpaca', { output: 'b' }, 'instruction', /instruction is missing/],
    ['alpaca', { instruction: 'a', output: '' }, 'output', /output is empty/],
    ['alpaca', { instruction: 'a', input: 3, output: 'b' }, 'input', /has to be text/],
  ])('refuses %s %j at %s', (format, row, path, message) => {
    const refused = refusal(row, format);
    expect(refused).toEqual([path, expect.stringMatching(message)]);
  });

  const schema = { name: 'add', parameters: { type: 'object', properties: {} } };
  const call = (given: unknown) => ({
    id: 'c1',
    type: 'function',
    function: { name: 'add', arguments: given },
  });
  const asks = (...calls: unknown[]) => ({ role: 'assistant', content: null, tool_calls: calls });
  const called = { role: 'assistant', tool_calls: [call({ a: 1 })] };

  it.each<[string, ConversationFormat, object, object]>([
    [
      'calls with arguments as text, and their results',
      'chat',
      {
        messages: [
          ...turns('a'),
          asks(call('{"a": 1}')),
          { role: 'tool', tool_call_id: 'c1', name: 'add', content: '2', x: 1 },
          { role: 'assistant', content: 'two', tool_calls: [], reasoning_content: '1+1' },
        ],
        tools: [{ type: 'function', function: schema }],
      },
      {
        messages: [
          ...turns('a'),
          called,
          { role: 'tool', content: '2', tool_call_id: 'c1', name: 'add' },
          { role: 'assistant', content: 'two', reasoning_content: '1+1' },
        ],
        tools: [{ type: 'function', function: schema }],
      },
    ],
    [
      'tools as JSON text, bare functions, and empty fields of a table',
      'chat',
      {
        messages: [
          { role: 'user', content: 'a', tool_calls: null, name: null },
          asks({ id: null, name: 'add', arguments: { a: 1 } }),
        ],
        tools: JSON.stringify([schema]),
      },
      {
        messages: [
          ...turns('a'),
          { ...called, tool_calls: [{ type: 'function', function: call({ a: 1 }).function }] },
        ],
        tools: [{ type: 'function', function: schema }],
      },
    ],
    ['no tools', 'chat', { messages: turns('a', 'b'), tools: [] }, { messages: turns('a', 'b') }],
    [
      'answers that are not to be learnt',
      'chat',
      { messages: [...turns('a'), { role: 'assistant', content: 'b', weight: 0 }, ...turns('c', 'd')] },
      { messages: turns('a', 'b', 'c', 'd'), notLearnt: [1] },
    ],
    [
      'ShareGPT',
      'sharegpt',
      {
        system: 'Be kind.',
        conversations: [
          { from: 'human', value: 'a' },
          { from: 'function_call', value: '{"name": "add", "arguments": {"a": 1}}' },
          { from: 'observation', value: '2' },
          { from: 'gpt', value: 'two' },
        ],
        tools: JSON.stringify([schema]),
      },
      {
        messages: [
          { role: 'system', content: 'Be kind.' },
          ...turns('a'),
          {
            role: 'assistant',
            tool_calls: [{ type: 'function', function: call({ a: 1 }).function }],
          },
          { role: 'tool', content: '2' },
          { role: 'assistant', content: 'two' },
        ],
        tools: [{ type: 'function', function: schema }],
      },
    ],
    ['ShareGPT with roles', 'sharegpt', { conversations: turns('a', 'b') }, { messages: turns('a', 'b') }],
  ])('reads %s', (_title, format, row, expected) => expect(parseRow(row, format)).toEqual(expected));

  const deep = JSON.parse('{"a":'.repeat(40) + '1' + '}'.repeat(40)) as object;
  const chatOf = (...messages: unknown[]) => ({ messages: [...turns('a'), ...messages] });
  const shareGpt = (...conversations: unknown[]) => ({ conversations });
  it.each<[ConversationFormat, object, string, RegExp]>([
    ['chat', chatOf(asks(call('{"a": 1'))), 'messages.1.tool_calls.0.function.arguments', /not JSON/],
    ['chat', chatOf(asks(call('[1]'))), 'messages.1.tool_calls.0.function.arguments', /JSON object/],
    ['chat', chatOf(asks(call(deep))), 'messages.1.tool_calls.0.function.arguments', /32 levels/],
    ['chat', chatOf(asks({ type: 'function' })), 'messages.1.tool_calls.0.name', /needs a name/],
    ['chat', chatOf(asks('add')), 'messages.1.tool_calls.0', /has to be an object/],
    ['chat', chatOf({ ...asks(), tool_calls: 'add' }), 'messages.1.tool_calls', /list/],
    ['chat', chatOf({ ...asks(call({})), role: 'user' }), 'messages.1.tool_calls', /only the assistant/],
    ['chat', chatOf({ role: 'tool', content: 'x', tool_call_id: 1 }), 'messages.1.tool_call_id', /text/],
    ['chat', chatOf({ role: 'assistant', content: 'b', weight: 0.5 }), 'messages.1.weight', /0 or 1/],
    ['chat', chatOf({ role: 'assistant', content: 'b', weight: 0 }), 'messages', /to learn from/],
    ['chat', { messages: turns('a', 'b'), tools: 'add' }, 'tools', /not JSON/],
    ['chat', { messages: turns('a', 'b'), tools: { add: 1 } }, 'tools', /list/],
    ['chat', { messages: turns('a', 'b'), tools: [deep] }, 'tools.0', /32 levels/],
    ['chat', { messages: turns('a', 'b'), tools: [{}] }, 'tools.0.function.name', /needs a name/],
    ['sharegpt', { conversations: 'a' }, 'conversations', /list of \{from, value\}/],
    ['sharegpt', shareGpt(), 'conversations', /empty/],
    ['sharegpt', shareGpt('a'), 'conversations.0', /object/],
    ['sharegpt', shareGpt({ from: 'toString', value: 'a' }), 'conversations.0.from', /one of system, human/],
    ['sharegpt', shareGpt({ from: 'human', value: 1 }), 'conversations.0.value', /text/],
    ['sharegpt', shareGpt({ from: 'human', value: 'a' }), 'conversations', /to learn from/],
    ['sharegpt', shareGpt({ from: 'function_call', value: 'add' }), 'conversations.0.value', /JSON text/],
  ])('refuses %s %j at %s', (format, row, path, message) =>
    expect(refusal(row, format)).toEqual([path, expect.stringMatching(message)]),
  );

  it('takes 1,000 messages and no more', () => {
    const many = turns(...Array.from({ length: 1000 }, () => 'a'));
    expect(parseRow({ messages: many }, 'chat').messages).toHaveLength(1000);
    expect(refusal({ messages: [...many, ...turns('a')] }, 'chat')).toEqual([
      'messages',
      expect.stringContaining('1000'),
    ]);
  });

  it('refuses what is nested deeply instead of text', () => {
    const deep = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000)) as unknown;
    expect(refusal({ messages: [{ role: 'user', content: deep }] }, 'chat')[0]).toBe('messages.0.content');
    expect(parseRow({ messages: turns('a', 'b'), deep }, 'chat').messages).toHaveLength(2);
  });
});

describe('convertRow', () => {
  it('turns question and answer, and every known format, into chats', () => {
    expect(convertRow({ question: 'a', answer: 'b' })).toEqual({ messages: turns('a', 'b') });
    expect(convertRow({ prompt: 'a', response: 'b' })).toEqual({ messages: turns('a', 'b') });
  });

  it.each([null, 'a', [], {}, { question: 'a' }, { question: 1, answer: 'b' }])('refuses %j', (row) =>
    expect(() => convertRow(row)).toThrow(RowError),
  );
});

describe('unknownFormat', () => {
  it('names the fields, but not endlessly', () => {
    expect(unknownFormat({ text: 'private' })).toMatch(/^fields \{text\} are none of: messages/);
    expect(unknownFormat({ question: 'a', answer: 'b' })).toMatch(/convert question\/answer rows/);
    expect(unknownFormat({ ['x'.repeat(1e6)]: 1 }).length).toBeLessThan(400);
    expect(unknownFormat([])).toMatch(/JSON object/);
  });
});
