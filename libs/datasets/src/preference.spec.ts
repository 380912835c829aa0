import { type ChatMessage } from '@lowrank/contracts';
import { loadChatTokenizer } from './tokenizer';
import { writeTinyModel } from '@lowrank/testing';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkDataset } from './check';
import { encodeChat } from './encode';
import { convertRow, detectFormat } from './formats';
import { RowError } from './row-error';
import { parseConversations } from './preference';
import { encodeDataset, readTokenFile } from './token-file';

const user = (content: string): ChatMessage => ({ role: 'user', content });
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content });

const ask = user('2+2?');
const good = assistant('4');
const bad = assistant('5');
const pair = [
  { messages: [ask, good], learnFrom: 1 },
  { messages: [ask, bad], learnFrom: 1 },
];

describe('parseConversations', () => {
  it.each([
    ['text', { prompt: '2+2?', chosen: '4', rejected: '5' }],
    ['messages', { prompt: [ask], chosen: [good], rejected: [bad] }],
    ['text, answered with messages', { prompt: '2+2?', chosen: [good], rejected: [bad] }],
    ['a shared beginning', { chosen: [ask, good], rejected: [ask, bad] }],
    [
      'a shared beginning with a prompt beside it',
      { prompt: '2+2?', chosen: [ask, good], rejected: [ask, bad] },
    ],
    ['messages, with no tools', { prompt: [ask], chosen: [good], rejected: [bad], tools: null }],
    [
      "OpenAI's fields",
      { input: { messages: [ask], tools: [] }, preferred_output: [good], non_preferred_output: [bad] },
    ],
  ])('takes the prompt as %s', (_title, row) => {
    expect(detectFormat(row)).toBe('preference');
    expect(parseConversations(row, 'preference')).toEqual(pair);
  });

  it('learns from where the conversations part', () => {
    const turns = [ask, good, user('And 3+3?')];
    const [chosen, rejected] = parseConversations(
      {
        prompt: turns,
        chosen: [assistant('6')],
        rejected: [assistant('7'), user('Sure?'), assistant('Yes')],
      },
      'preference',
    );
    expect(chosen).toEqual({ messages: [...turns, assistant('6')], learnFrom: 3 });
    expect(rejected?.messages).toHaveLength(6);
    expect(rejected?.learnFrom).toBe(3);
  });

  it.each([
    ['no prompt', { chosen: '4', rejected: '5' }, 'prompt is missing', 'prompt'],
    ['one answer', { prompt: 'x', chosen: '4' }, 'rejected is missing', 'rejected'],
    ['equal answers', { prompt: 'x', chosen: '4', rejected: '4' }, 'the same', 'rejected'],
    ['an empty answer', { prompt: 'x', chosen: '4', rejected: ' ' }, 'rejected is empty', 'rejected'],
    [
      'an answer of the user',
      { prompt: [ask], chosen: [user('4')], rejected: [bad] },
      'an answer of the assistant',
      'chosen',
    ],
    [
      'conversations that part at a question',
      { chosen: [ask, good], rejected: [user('3+3?'), bad] },
      'an answer of the assistant',
      'chosen',
    ],
    [
      'a wrong role',
      { prompt: [{ role: 'robot', content: '' }], chosen: '4', rejected: '5' },
      'role has to be one of',
      'prompt.0.role',
    ],
    [
      'tools that are none',
      { prompt: [ask], chosen: [good], rejected: [bad], tools: [1] },
      'a tool has to be an object',
      'tools.0',
    ],
    ['no input', { preferred_output: [good], non_preferred_output: [bad] }, 'input is missing', 'input'],
    [
      'text for messages',
      { input: { messages: 'x' }, preferred_output: [good], non_preferred_output: [bad] },
      'list of {role, content}',
      'input.messages',
    ],
  ])('refuses %s', (_title, row, message, path) => {
    let caught: unknown;
    try {
      parseConversations(row, 'preference');
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(RowError);
    expect((caught as RowError).message).toContain(message);
    expect((caught as RowError).path).toBe(path);
  });

  it('leaves the other formats as they are, and refuses to make a chat of a preference', () => {
    expect(parseConversations({ prompt: 'a', completion: 'b' }, 'prompt-completion')).toHaveLength(1);
    expect(() => convertRow({ prompt: 'x', chosen: '4', rejected: '5' })).toThrow(/upload the file as it is/);
  });
});

describe('a preference dataset', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-preference-'));
    await writeTinyModel(folder);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('becomes two sequences a row, learnt in the answers only', async () => {
    const tokenizer = await loadChatTokenizer(folder);
    const turns = [ask, assistant('Four.'), user('Sure?')];
    const [chosen] = parseConversations({ prompt: turns, chosen: 'Yes', rejected: 'No' }, 'preference');
    const { tokens, lossMask } = encodeChat(chosen as never, tokenizer);
    expect(tokenizer.decode([...tokens.filter((_, i) => lossMask[i] === 1)], { keepSpecial: true })).toBe(
      'Yes<|im_end|>',
    );

    const source = join(folder, 'data.jsonl');
    const rows = [
      { prompt: 'a', chosen: 'b', rejected: 'cd' },
      { prompt: 'e', chosen: 'fgh', rejected: 'i' },
    ];
    await writeFile(source, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    await encodeDataset(source, join(folder, 'tokens'), tokenizer, {
      format: 'preference',
      maxLineBytes: 1e6,
    });
    const encoded = await readTokenFile(join(folder, 'tokens'));
    const learnt = encoded?.map(({ lossMask: mask }) => mask.reduce((sum, one) => sum + one, 0));
    expect(learnt).toEqual([2, 3, 4, 2]); // the answer's bytes and the token that ends it

    const stream = async function* () {
      yield await readFile(source);
      yield Buffer.from('{"prompt": "x", "chosen": "y", "rejected": "y"}\n{"messages": []}\n');
    };
    const check = await checkDataset(stream(), { maxLineBytes: 1e6, tokenizer });
    expect(check).toMatchObject({ format: 'preference', rows: 2, lossTokens: 11, errorCount: 2 });
    expect(check.errors.map(({ line }) => line)).toEqual([3, 4]);
  });
});
