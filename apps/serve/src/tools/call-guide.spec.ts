import { chatCompletionSchema, type ChatCompletionInput } from '@lowrank/contracts';
import { loadChatTokenizer, type ChatTokenizer } from '@lowrank/datasets';
import { toolTemplates, writeTinyModel } from '@lowrank/testing';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FormThread, vocabularyOf } from '../form/thread';
import { type Completion } from '../http/answers';
import { numbers } from '../test/machines';
import { callFormOf, parserOf, collected } from './tools';

let folder: string;
let tokenizer: ChatTokenizer;
let forms: FormThread;
const next = numbers(9);

async function use(template: string): Promise<void> {
  await writeFile(join(folder, 'chat_template.jinja'), template);
  tokenizer = await loadChatTokenizer(folder);
}
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-guide-'));
  await writeTinyModel(folder);
  await use(toolTemplates.hermes);
  forms = new FormThread(() => vocabularyOf(tokenizer, tokenizer.vocabSize));
});
afterAll(async () => {
  forms.close();
  await rm(folder, { recursive: true });
});

const digit = { type: 'integer', minimum: 0, maximum: 9 };
const parameters = {
  ...{ type: 'object', properties: { a: digit, b: digit }, required: ['a', 'b'] },
};
type Tools = NonNullable<ChatCompletionInput['tools']>;
const tools: Tools = [
  { type: 'function', function: { name: 'add', parameters } },
  { type: 'function', function: { name: 'now' } },
];
const asking = (given: Tools = tools): Completion => ({
  kind: 'chat',
  body: chatCompletionSchema.parse({ model: 'm', messages: [{ role: 'user', content: 'x' }], tools: given }),
});

const isIn = (mask: Uint32Array, token: number): boolean =>
  ((mask[token >>> 5] as number) & (1 << (token & 31))) !== 0;

/** What comes of an answer that begins with a text and goes on by tokens drawn from those that are allowed, for as long as some are not. */
async function goOn(text: string, completion = asking()): Promise<string> {
  const form = await callFormOf(completion, { tokenizer, forms });
  if (form === null) return text;
  let whole = text;
  for (const token of tokenizer.encode(text)) {
    const allowed = await form.allowed();
    expect([text, allowed === undefined || isIn(allowed, token)]).toEqual([text, true]);
    form.accept(token);
  }
  for (let allowed = await form.allowed(); allowed !== undefined; allowed = await form.allowed()) {
    const mask = allowed;
    const tokens = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => isIn(mask, id));
    const token = tokens[Math.floor(next() * tokens.length)] as number;
    whole += tokenizer.decode([token]);
    form.accept(token);
  }
  expect(await form.isWhole()).toBe(false);
  form.close();
  return whole;
}

function callsOf(text: string): { name: string; given: unknown }[] {
  const parser = parserOf(asking(), tokenizer);
  return collected([...(parser?.push(text) ?? []), ...(parser?.end() ?? [])]).calls.map(
    ({ function: { name, arguments: given } }) => ({ name, given: JSON.parse(given) as unknown }),
  );
}
const added = { name: 'add', given: { a: expect.any(Number), b: expect.any(Number) } };

describe('of a model that marks its calls', () => {
  beforeAll(() => use(toolTemplates.hermes));

  it('holds a call from its brace on, after text and calls too', async () => {
    for (const before of [
      '',
      'Let me <tool> see.\n',
      '<tool_call>\n{"name": "now", "arguments": {}}</tool_call>',
    ])
      for (let i = 0; i < 5; i += 1) {
        const text = await goOn(`${before}<tool_call>\n{`);
        const called = callsOf(text);
        expect(called.length).toBe(before.includes('now') ? 2 : 1);
        expect([added, { name: 'now', given: {} }]).toContainEqual(called.at(-1));
      }
  });

  it('leaves to be text what is none', async () => {
    for (const text of [
      '{"name": "add", "arguments": {"a": "x"}}',
      '<tool_call>hello {',
      '< tool_call>{',
      '<tool_call>\n',
    ])
      expect(await goOn(text)).toBe(text);
  });
});

describe('of a model that writes bare calls', () => {
  beforeAll(() => use(toolTemplates.llama3));

  it('holds a call from the name of a function on', async () => {
    for (let i = 0; i < 5; i += 1) {
      const text = await goOn('\n{"name": "add", "parameters"');
      expect(callsOf(text)).toEqual([added]);
    }
  });

  it('leaves to be text what is none', async () => {
    for (const text of [
      ...[
        '{"name": "rm", "parameters": {',
        '{"name": "add", "colour": {',
        'So {"name": "add", "parameters": {',
      ],
      `{${' '.repeat(300)}"name": "add", "parameters": {`,
    ])
      expect(await goOn(text)).toBe(text);
  });
});

describe('of functions whose schemas are not had', () => {
  beforeAll(() => use(toolTemplates.hermes));
  const odd = (strict: boolean): Tools => [
    ...tools,
    {
      type: 'function',
      function: { name: 'odd', strict, parameters: { type: 'object', properties: { n: { not: {} } } } },
    },
  ];

  it('holds the others, and these to JSON', async () => {
    expect(callsOf(await goOn('<tool_call>{"name": "add"', asking(odd(false))))).toEqual([added]);
    expect(await goOn('<tool_call>{"name": "odd", "arguments": {"n": 1}}', asking(odd(false)))).toContain(
      'odd',
    );
  });

  it('refuses them where they are strict, naming the place', async () => {
    await expect(goOn('', asking(odd(true)))).rejects.toMatchObject({
      code: 'validation_failed',
      details: [{ path: 'tools.2.function.parameters.properties.n.not' }],
    });
  });
});
