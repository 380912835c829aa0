import { codeOf, tinyTokenizer, writeTinyModel } from '@lowrank/testing';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ggufName, ggufTokenizer } from './gguf-tokenizer';

const split = (Regex: string) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
  ],
});
/** As Llama 3 and Qwen 2 have them; they differ in how digits are cut. */
const regex = (digits: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

describe('tokenizers in GGUF', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-tokenizer-'));
    await writeTinyModel(folder);
  });
  afterAll(() => rm(folder, { recursive: true }));

  const made = async (changes: Record<string, unknown>, vocab = 264) => {
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify({ ...tinyTokenizer, ...changes }));
    const { metadata, addsBos } = await ggufTokenizer(folder, vocab, {
      stopIds: new Set([258]),
      template: 'T',
    });
    const values = Object.fromEntries(
      metadata.map(([key, { value }]) => [key.replace(/^tokenizer\.(ggml\.)?/, ''), value]),
    );
    return { values, addsBos };
  };
  const { model } = tinyTokenizer;

  it('have a token for every row of the embeddings, and say of what kind it is', async () => {
    const { values, addsBos } = await made({});
    const [tokens, kinds] = [values.tokens as string[], values.token_type as number[]];
    expect(tokens).toHaveLength(264);
    expect(tokens.slice(255)).toEqual([
      'ÿ',
      '<|bos|>',
      '<|im_start|>',
      '<|im_end|>',
      ...[259, 260, 261, 262, 263].map((id) => `[PAD${id}]`),
    ]);
    expect(kinds.slice(255)).toEqual([1, 3, 3, 3, 5, 5, 5, 5, 5]);
    expect(values).toMatchObject({
      model: 'gpt2',
      pre: 'gpt-2',
      bos_token_id: 256,
      eos_token_id: 258,
      chat_template: 'T',
    });
    expect([addsBos, values.add_bos_token]).toEqual([false, false]);
  });

  it.each([
    ['llama-bpe', '\\p{N}{1,3}', { ...model, ignore_merges: true }],
    ['qwen2', '\\p{N}', model],
  ])('know how text is cut: %s', async (name, digits, changed) => {
    const { values } = await made({
      pre_tokenizer: split(regex(digits)),
      model: changed,
      normalizer: { type: 'NFC' },
    });
    expect(values.pre).toBe(name);
  });

  it('are not taken for those of Phi 3 by what a model is called', () => {
    const named = (name: string, tokens: string[]) =>
      ggufName(name, [['tokenizer.ggml.tokens', { type: 'text', value: tokens }]]);
    const phi3 = ['<unk>', '<s>', '</s>', '<|endoftext|>', 'a'];
    expect(named('Phi-3-tone-v1', phi3)).toBe('Phi-3-tone-v1');
    expect(named('Phi-3-tone-v1', phi3.slice(1))).toBe('Phi 3-tone-v1');
    expect(named('my-phi3-v2', ['a'])).toBe('my-phi 3-v2');
    expect(named('support-v3', ['a'])).toBe('support-v3');
  });

  it('know who begins a text', async () => {
    const single = [{ SpecialToken: { id: '<|bos|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
    const post_processor = {
      type: 'Sequence',
      processors: [{ type: 'ByteLevel' }, { type: 'TemplateProcessing', single }],
    };
    expect((await made({ post_processor })).addsBos).toBe(true);
  });

  it.each<[string, Record<string, unknown>, number?]>([
    ['another way to cut text', { pre_tokenizer: split('\\w+') }],
    ['another pre-tokenizer', { pre_tokenizer: { type: 'Whitespace' } }],
    [
      'a space before every text',
      { pre_tokenizer: { ...tinyTokenizer.pre_tokenizer, add_prefix_space: true } },
    ],
    ['lower case', { normalizer: { type: 'Lowercase' } }],
    ['no BPE', { model: { type: 'WordPiece', vocab: {} } }],
    ['more tokens than the model has', {}, 200],
  ])('refuse %s', async (_, changes, vocab = 264) => {
    expect(await codeOf(made(changes, vocab))).toBe('export_unsupported');
  });
});
