import { type ChatMessage, type DatasetFormat } from '@lowrank/contracts';
import {
  convertRow,
  type ConversationFormat,
  detectFormat,
  parseRow,
  RowError,
  unknownFormat,
} from './formats';

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
      { messages: [...turns('a', 'b'), { role: 'tool', content: 'c' }] },
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
