import { codeOf, tinyTemplate, tinyTokenizer } from '@lowrank/testing';
import { readFile, rm } from 'node:fs/promises';
import { sampleBase, sampleRows, temporaryFolder, tinyModel, type Changes } from './test/model-folders';
import { type ChatTokenizer, loadChatTokenizer } from './tokenizer';

const imEnd = 258;
const text = 'Ünïcode 🙂 한글\n\n  two  spaces\t<|im_end|> and "quotes"';

describe('loadChatTokenizer', () => {
  let folder: string;
  let sample: ChatTokenizer;
  beforeAll(async () => {
    folder = await temporaryFolder();
    sample = await loadChatTokenizer(sampleBase);
  });
  afterAll(() => rm(folder, { recursive: true }));

  const load = async (changes: Changes = {}): Promise<ChatTokenizer> => {
    await rm(folder, { recursive: true });
    return loadChatTokenizer(await tinyModel(folder, changes));
  };
  const config = { bos_token: '<|bos|>', eos_token: '<|im_end|>', chat_template: tinyTemplate };

  it('knows its special tokens', async () => {
    const tiny = await load();
    expect(tiny).toMatchObject({ vocabSize: 259, bosId: 256, eosId: imEnd, stopIds: new Set([imEnd]) });
    expect(sample).toMatchObject({ vocabSize: 1024, bosId: 1, eosId: 3, stopIds: new Set([3]) });
  });

  it('decodes what it encodes', async () => {
    for (const tokenizer of [sample, await load()]) {
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids, { keepSpecial: true })).toBe(text);
      expect(tokenizer.decode(ids)).toBe(text.replace('<|im_end|>', ''));
      expect([tokenizer.encode(''), tokenizer.decode([])]).toEqual([[], '']);
    }
  });

  it('adds no special token of its own', async () => {
    expect((await load()).encode('a<|bos|>')).toEqual([97, 256]);
  });

  it('spells every byte in byteLengths', () => {
    const ids = sample.encode(text);
    const lengths = sample.byteLengths(ids) ?? [];
    let at = 0;
    ids.forEach((id, i) => {
      const bytes = Buffer.from(text).subarray(at, (at += lengths[i] as number));
      // A token may hold a part of a character.
      const whole = bytes.toString();
      if (!whole.includes('\uFFFD')) expect(sample.decode([id], { keepSpecial: true })).toBe(whole);
    });
    expect(at).toBe(Buffer.byteLength(text));
  });

  it('has no byteLengths where tokens do not spell bytes', async () => {
    const tokenizer = {
      ...tinyTokenizer,
      decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never' },
    };
    expect((await load({ 'tokenizer.json': tokenizer })).byteLengths([65])).toBeNull();
  });

  it('streams text without cutting characters', async () => {
    for (const tokenizer of [sample, await load()]) {
      const stream = tokenizer.stream();
      const pieces = tokenizer.encode(text).map((id) => stream.push(id));
      expect(pieces.join('') + stream.end()).toBe(text.replace('<|im_end|>', ''));
      expect(pieces.join('')).not.toContain('\uFFFD');
    }
  });

  it('streams what is left of a character that never ends', () => {
    const stream = sample.stream();
    const [first] = sample.encode('한');
    expect(stream.push(first as number)).toBe('');
    expect(stream.end()).toBe('\uFFFD');
    expect(stream.end()).toBe('');
  });

  it('streams as it decodes, over sample data', async () => {
    const ids = sample.encode((await readFile(sampleRows, 'utf8')).slice(0, 2000));
    const stream = sample.stream();
    expect(ids.map((id) => stream.push(id)).join('') + stream.end()).toBe(sample.decode(ids));
  });

  it.each<[string, Changes, string]>([
    ['tokenizer_config.json', {}, '<|bos|>'],
    ['chat_template.jinja, which wins', { 'chat_template.jinja': 'file' }, 'file'],
    [
      'the default of a list',
      {
        'tokenizer_config.json': {
          chat_template: [
            { name: 'tool_use', template: 'tools' },
            { name: 'default', template: 'default' },
          ],
        },
      },
      'default',
    ],
    [
      'a special token written as an object',
      {
        'tokenizer_config.json': {
          bos_token: { content: '<|bos|>', lstrip: false },
          chat_template: '[{{ bos_token }}]',
        },
      },
      '[<|bos|>]',
    ],
  ])('takes its template from %s', async (_case, changes, rendered) => {
    expect((await load(changes)).render([])).toBe(rendered);
  });

  it.each([
    [{ eos_token_id: 7 }, [imEnd, 7]],
    [{ eos_token_id: [7, imEnd] }, [imEnd, 7]],
    [{ eos_token_id: null }, [imEnd]],
    [{}, [imEnd]],
    [null, [imEnd]],
  ])('stops at its eos_token and those of generation config %j', async (generation, ids) => {
    expect((await load({ 'generation_config.json': generation })).stopIds).toEqual(new Set(ids));
  });

  it('has a fingerprint of everything that decides tokens and loss masks, and of nothing else', async () => {
    const { fingerprint } = await load();
    expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
    const same: Changes[] = [{}, { 'README.md': 'x' }, { 'generation_config.json': { temperature: 1 } }];
    for (const changes of same) expect((await load(changes)).fingerprint).toBe(fingerprint);
    const others: Changes[] = [
      { 'tokenizer.json': { ...tinyTokenizer, version: '1.1' } },
      { 'tokenizer_config.json': { ...config, pad_token: '<|bos|>' } },
      { 'chat_template.jinja': `${tinyTemplate}!` },
      { 'generation_config.json': { eos_token_id: [imEnd, 7] } },
    ];
    for (const changes of others) expect((await load(changes)).fingerprint).not.toBe(fingerprint);
  });

  it.each<[string, Changes, RegExp]>([
    ['no tokenizer.json', { 'tokenizer.json': null }, /no tokenizer\.json/],
    ['a tokenizer that is not JSON', { 'tokenizer.json': '{' }, /tokenizer\.json is not JSON/],
    ['a tokenizer that is a list', { 'tokenizer.json': [] }, /tokenizer\.json/],
    ['a tokenizer without model', { 'tokenizer.json': { added_tokens: [] } }, /tokenizer\.json: model/],
    [
      'a model without merges',
      { 'tokenizer.json': { ...tinyTokenizer, model: { type: 'BPE', vocab: {} } } },
      /tokenizer\.json cannot be used/,
    ],
    [
      'a negative id',
      { 'tokenizer.json': { ...tinyTokenizer, added_tokens: [{ id: -1, content: 'a' }] } },
      /tokenizer\.json: added_tokens\.0\.id/,
    ],
    ['a config that is not JSON', { 'tokenizer_config.json': 'x' }, /tokenizer_config\.json is not JSON/],
    [
      'a template that is a number',
      { 'tokenizer_config.json': { chat_template: 1 } },
      /tokenizer_config\.json: chat_template/,
    ],
    [
      'a generation config of text',
      { 'generation_config.json': { eos_token_id: 'end' } },
      /generation_config\.json: eos_token_id/,
    ],
    ['no template', { 'tokenizer_config.json': {} }, /no chat template/],
    [
      'no default among templates',
      { 'tokenizer_config.json': { chat_template: [{ name: 'rag', template: 'x' }] } },
      /no chat template/,
    ],
    ['a template with a wrong tag', { 'chat_template.jinja': '{% for %}' }, /chat template fails/],
  ])('refuses %s', async (_case, changes, message) => {
    const loading = load(changes);
    expect(await codeOf(loading)).toBe('base_model_invalid');
    await expect(loading).rejects.toThrow(message);
  });

  it('refuses text that the vocabulary has no token for', async () => {
    const model = { type: 'WordLevel', vocab: { a: 0 } };
    const tokenizer = await load({ 'tokenizer.json': { ...tinyTokenizer, model, added_tokens: [] } });
    expect(tokenizer.encode('a')).toEqual([0]);
    expect(() => tokenizer.encode('a b')).toThrow(/no id for a part of the text/);
  });
});
