import { type ChatMessage } from '@lowrank/contracts';
import { loadChatTokenizer, type ChatTokenizer } from '@lowrank/datasets';
import { writeTinyModel } from '@lowrank/testing';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelfile, ollamaTemplate } from './modelfile';

const llama3 =
  "{{ bos_token }}{% for m in messages %}<|start|>{{ m['role'] }}<|end|>\n\n{{ m['content'] | trim }}<|eot|>{% endfor %}" +
  '{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}';
const withDefault =
  "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}{% for m in messages %}" +
  "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const noSystem =
  "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" +
  "[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}";
const upside = "{% for m in messages | reverse %}{{ m['content'] }};{% endfor %}";

describe('Modelfile', () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'lowrank-modelfile-'));
    await writeTinyModel(join(root, 'model'));
  });
  afterAll(() => rm(root, { recursive: true }));

  const tokenizerOf = async (template?: string): Promise<ChatTokenizer> => {
    const folder = await mkdtemp(join(root, 'model-'));
    await cp(join(root, 'model'), folder, { recursive: true });
    if (template !== undefined) await writeFile(join(folder, 'chat_template.jinja'), template);
    return loadChatTokenizer(folder);
  };

  /** The few actions of Go's text/template that Modelfiles here have. */
  const asOllama = (template: string, messages: readonly ChatMessage[]): string => {
    const system = messages.find(({ role }) => role === 'system')?.content;
    const range = /\{\{ range \.Messages \}\}(.*)\{\{ end \}\}\{\{ end \}\}/s.exec(template);
    const [user, answer] = (range?.[1] ?? '').split('{{ else if eq .Role "assistant" }}') as [string, string];
    const turns = messages
      .filter(({ role }) => role !== 'system')
      .map(({ role, content }) =>
        (role === 'user' ? user.replace('{{ if eq .Role "user" }}', '') : answer).replace(
          '{{ .Content }}',
          content ?? '',
        ),
      );
    const [before, after] = template.split(range?.[0] ?? '\u0000') as [string, string];
    const start = before.replace(
      /\{\{ if \.System \}\}(.*?)\{\{ else \}\}(.*?)\{\{ end \}\}/s,
      (_, there: string, not: string) =>
        system === undefined ? not : there.replace('{{ .System }}', system),
    );
    return start + turns.join('') + after;
  };

  const user = { role: 'user', content: 'One?' } as const;
  const assistant = { role: 'assistant', content: 'Two.' } as const;
  const system = { role: 'system', content: 'Count.' } as const;

  it.each([
    ['ChatML', undefined, true],
    ["Llama 3's", llama3, true],
    ['one with a system message of its own', withDefault, true],
    ['one without system messages', noSystem, false],
  ])('turns %s template into one that writes the same', async (_, template, hasSystem) => {
    const tokenizer = await tokenizerOf(template);
    const made = ollamaTemplate(tokenizer, null) as string;
    const conversations: ChatMessage[][] = [[user], [user, assistant, user]];
    if (hasSystem) conversations.push([system, user], [system, user, assistant, user]);
    for (const messages of conversations)
      expect(asOllama(made, messages)).toBe(tokenizer.render(messages, { addGenerationPrompt: true }));
  });

  it('leaves out what begins a text where readers write it, and a template that it cannot say', async () => {
    expect(ollamaTemplate(await tokenizerOf(llama3), '<|bos|>')).toMatch(
      /^\{\{ if \.System \}\}<\|start\|>system/,
    );
    expect(ollamaTemplate(await tokenizerOf(upside), null)).toBeNull();
  });

  it('says where weights are, what ends an answer, and what it is for', async () => {
    const tokenizer = await tokenizerOf();
    const text = modelfile({ tokenizer, from: 'base', adapter: './a.gguf', bos: null, notes: ['note'] });
    const [note, from, adapter, ...rest] = text.split('\n');
    expect([note, from, adapter]).toEqual(['# note', 'FROM base', 'ADAPTER ./a.gguf']);
    expect(rest.join('\n')).toMatch(/^TEMPLATE """.*"""\nPARAMETER stop "<\|im_end\|>"\n$/s);
  });
});
