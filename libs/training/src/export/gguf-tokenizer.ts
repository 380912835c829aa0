import { LowrankError } from '@lowrank/contracts';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type MetaValue } from './gguf-file';

const content = z.union([z.string(), z.object({ content: z.string() }).transform((token) => token.content)]);
const configSchema = z.looseObject({
  bos_token: content.nullish(),
  eos_token: content.nullish(),
  unk_token: content.nullish(),
  pad_token: content.nullish(),
  add_bos_token: z.boolean().nullish(),
});
const part = z.looseObject({ type: z.string() });
const tokenizerSchema = z.looseObject({
  added_tokens: z
    .array(z.looseObject({ id: z.int().nonnegative(), content: z.string(), special: z.boolean() }))
    .default([]),
  normalizer: part.nullish(),
  pre_tokenizer: part.nullish(),
  post_processor: part.nullish(),
  model: z.looseObject({
    type: z.string().nullish(),
    vocab: z.record(z.string(), z.int().nonnegative()),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])).default([]),
    byte_fallback: z.boolean().nullish(),
    ignore_merges: z.boolean().nullish(),
  }),
});
type TokenizerJson = z.output<typeof tokenizerSchema>;
type Part = z.output<typeof part>;

/** llama.cpp's names for ways to cut text into words before byte pairs are merged, by the regular expression of tokenizer.json. */
const splits: Readonly<Record<string, string>> = {
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+":
    'llama-bpe',
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+":
    'qwen2',
};

const types = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const refuse = (message: string): LowrankError =>
  new LowrankError('export_unsupported', `GGUF: the tokenizer ${message}; format 'merged' keeps it as it is`);

const partsOf = (of: Part | null | undefined, list: string): Part[] =>
  of?.type === 'Sequence' ? ((of[list] ?? []) as Part[]) : of ? [of] : [];

/** llama.cpp's name for the pre-tokenizer of a byte-level vocabulary. */
function preTokenizer({ pre_tokenizer: pre, normalizer, model }: TokenizerJson): string {
  const parts = partsOf(pre, 'pretokenizers');
  const known = partsOf(normalizer, 'normalizers').every(({ type }) => type === 'NFC');
  if (!known) throw refuse(`has a normalizer (${normalizer?.type}) that readers do not know`);
  const [first, last] = [parts[0], parts.at(-1)];
  if (last?.type !== 'ByteLevel' || last.add_prefix_space === true || parts.length > 2)
    throw refuse(`has a pre-tokenizer (${pre?.type}) that readers do not know`);
  const regex = (first as { pattern?: { Regex?: string } }).pattern?.Regex;
  const name = parts.length === 1 && last.use_regex !== false ? 'gpt-2' : splits[regex ?? ''];
  if (name === undefined) throw refuse(`splits text by a regular expression that readers do not know`);
  if ((model.ignore_merges ?? false) !== (name === 'llama-bpe') && model.ignore_merges === true)
    throw refuse('has ignore_merges, which readers know only of llama-bpe');
  return name;
}

/** Whether a space goes before the text, of a vocabulary that writes spaces as ▁. */
function prefixSpace({ normalizer, pre_tokenizer: pre }: TokenizerJson): boolean {
  const normalizers = partsOf(normalizer, 'normalizers');
  const scheme = partsOf(pre, 'pretokenizers').find(({ type }) => type === 'Metaspace')?.prepend_scheme;
  const known = normalizers.every(({ type }) => type === 'Prepend' || type === 'Replace');
  if (!known) throw refuse(`has a normalizer (${normalizer?.type}) that readers do not know`);
  return normalizers.some(({ type }) => type === 'Prepend') || scheme === 'first' || scheme === 'always';
}

const mergeOf = (merge: string | [string, string]): [string, string] =>
  typeof merge === 'string' ? (merge.split(' ') as [string, string]) : merge;

/**
 * Scores by which a sentencepiece reader merges in the order of the list of merges: that of a piece is the lower the later it is made.
 */
function scoresOf(tokens: readonly string[], { model }: TokenizerJson): number[] {
  const rank = new Map<string, number>();
  model.merges.forEach((merge, i) => {
    const made = mergeOf(merge).join('');
    if (!rank.has(made)) rank.set(made, i);
  });
  return tokens.map((token) => -(rank.get(token) ?? model.merges.length));
}

/** Whether a text is begun with the bos token by the tokenizer itself. */
function addsBos({ post_processor: post }: TokenizerJson, config: z.output<typeof configSchema>): boolean {
  if (typeof config.add_bos_token === 'boolean') return config.add_bos_token;
  const template = partsOf(post, 'processors').find(({ type }) => type === 'TemplateProcessing');
  const single = template?.single as { SpecialToken?: { id: string } }[] | undefined;
  return single?.[0]?.SpecialToken?.id === config.bos_token && config.bos_token !== undefined;
}

/** What of a model's tokenizer has to be known beside what is written. */
export interface GgufTokenizer {
  metadata: [string, MetaValue][];
  addsBos: boolean;
}

/**
 * `tokenizer.*` of a model folder: byte-level BPE as readers' `gpt2`, BPE with bytes to fall back on as their `llama`. `stopIds` are the
 * ids that end an answer. Throws LowrankError export_unsupported for others.
 */
export async function ggufTokenizer(
  modelDir: string,
  vocabSize: number,
  { stopIds, template }: { stopIds: ReadonlySet<number>; template: string },
): Promise<GgufTokenizer> {
  const read = async (name: string) => JSON.parse(await readFile(join(modelDir, name), 'utf8')) as unknown;
  const json = tokenizerSchema.safeParse(await read('tokenizer.json'));
  if (!json.success || (json.data.model.type ?? 'BPE') !== 'BPE') throw refuse('is not BPE');
  const config = configSchema.parse(await read('tokenizer_config.json').catch(() => ({})));
  const { model, added_tokens: added } = json.data;
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const kinds = new Array<number>(vocabSize).fill(types.unused);
  const place = (token: string, id: number, kind: number) => {
    if (id >= vocabSize) throw refuse(`has the id ${id}, the model's vocabulary is ${vocabSize}`);
    tokens[id] = token;
    kinds[id] = kind;
  };
  const isByte = (token: string) => model.byte_fallback === true && /^<0x[0-9A-F]{2}>$/.test(token);
  for (const [token, id] of Object.entries(model.vocab))
    place(token, id, isByte(token) ? types.byte : types.normal);
  for (const { content: token, id, special } of added)
    place(token, id, special ? types.control : types.userDefined);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const unknown = config.unk_token ? ids.get(config.unk_token) : undefined;
  if (unknown !== undefined && model.byte_fallback) kinds[unknown] = types.unknown;
  const eos = (config.eos_token ? ids.get(config.eos_token) : undefined) ?? [...stopIds][0];
  const special: [string, number | undefined][] = [
    ['bos', config.bos_token ? ids.get(config.bos_token) : undefined],
    ['eos', eos],
    ['eot', [...stopIds].find((id) => id !== eos)],
    ['unknown', unknown],
    ['padding', config.pad_token ? ids.get(config.pad_token) : undefined],
  ];
  const bos = addsBos(json.data, config);
  return {
    addsBos: bos,
    metadata: [
      ...kindMetadata(json.data, tokens),
      ['tokenizer.ggml.tokens', { type: 'text', value: tokens }],
      ['tokenizer.ggml.token_type', { type: 'i32', value: kinds }],
      ...special.flatMap(([name, id]): [string, MetaValue][] =>
        id === undefined ? [] : [[`tokenizer.ggml.${name}_token_id`, { type: 'u32', value: id }]],
      ),
      ['tokenizer.ggml.add_bos_token', { type: 'bool', value: bos }],
      ['tokenizer.chat_template', { type: 'text', value: template }],
    ],
  };
}

function kindMetadata(json: TokenizerJson, tokens: readonly string[]): [string, MetaValue][] {
  if (json.model.byte_fallback === true)
    return [
      ['tokenizer.ggml.model', { type: 'text', value: 'llama' }],
      ['tokenizer.ggml.pre', { type: 'text', value: 'default' }],
      ['tokenizer.ggml.scores', { type: 'f32', value: scoresOf(tokens, json) }],
      ['tokenizer.ggml.add_space_prefix', { type: 'bool', value: prefixSpace(json) }],
    ];
  const merges = json.model.merges.map((merge) => mergeOf(merge).join(' '));
  return [
    ['tokenizer.ggml.model', { type: 'text', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'text', value: preTokenizer(json) }],
    ['tokenizer.ggml.merges', { type: 'text', value: merges }],
  ];
}

/** What readers look up in the vocabulary of a model that is called phi-3, and fail without (llama.cpp's llama-vocab.cpp). */
const phi3Tokens = ['</s>', '<unk>', '<s>', '<|endoftext|>'];

/** `general.name`, in words of which readers do not conclude that a vocabulary is another. `metadata`: that of ggufTokenizer. */
export function ggufName(name: string, metadata: readonly (readonly [string, MetaValue])[]): string {
  const tokens = new Map(metadata).get('tokenizer.ggml.tokens')?.value;
  const isPhi3 = Array.isArray(tokens) && phi3Tokens.every((token) => (tokens as string[]).includes(token));
  return isPhi3 ? name : name.replaceAll(/(phi)-?(3)/gi, '$1 $2');
}
