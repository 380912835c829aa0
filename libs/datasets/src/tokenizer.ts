import { LowrankError, type ChatMessage } from '@lowrank/contracts';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Tokenizer } from './huggingface';
import { compileTemplate, type RenderOptions } from './template';
import { isByteLevel, tokenBytes } from './token-bytes';

const special = z
  .union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)])
  .nullish();
const tokenizerConfigSchema = z.looseObject({
  bos_token: special,
  eos_token: special,
  unk_token: special,
  pad_token: special,
  chat_template: z
    .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))])
    .nullish(),
});
const generationConfigSchema = z.looseObject({
  eos_token_id: z.union([z.int(), z.array(z.int())]).nullish(),
});
const tokenizerSchema = z.looseObject({
  model: z.looseObject({}),
  added_tokens: z
    .array(z.looseObject({ id: z.int().nonnegative(), content: z.string(), special: z.boolean().optional() }))
    .default([]),
});

/** Turns ids into text as they come; text is held back until its UTF-8 is complete. */
export interface TextStream {
  push(id: number): string;
  /** What was held back. */
  end(): string;
}

/** A model's tokenizer with its chat template. */
export interface ChatTokenizer {
  /** Highest id + 1. */
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  /** Ids that end an answer: the tokenizer's eos_token and the generation config's eos_token_id. */
  readonly stopIds: ReadonlySet<number>;
  /** SHA-256 of the chat template's text. */
  readonly templateSha256: string;
  /** The chat template's text, in Jinja. */
  readonly template: string;
  /** SHA-256 over everything that decides tokens and loss masks: tokenizer files, template and stopIds. */
  readonly fingerprint: string;
  /** Ids of a text. Special tokens written in it become themselves; none is added. */
  encode(text: string): number[];
  /** Text of ids, special tokens left out unless asked for. */
  decode(ids: readonly number[], options?: { keepSpecial?: boolean }): string;
  stream(options?: { keepSpecial?: boolean }): TextStream;
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
  /** UTF-8 bytes that each id stands for when tokens spell their text exactly (byte-level BPE), else null. */
  byteLengths(ids: readonly number[]): number[] | null;
  /** UTF-8 bytes that an id writes within a text; null: none that are known, as of special tokens. See tokenBytes. */
  bytesOf(id: number): Uint8Array | null;
}

const invalid = (message: string, cause?: unknown): LowrankError =>
  new LowrankError('base_model_invalid', message, undefined, { cause });

async function readOptional(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}

function parseAs<T extends z.ZodType>(schema: T, name: string, text: string): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(`${name} is not JSON`);
  }
  const result = schema.safeParse(value);
  if (!result.success)
    throw invalid(`${name}: ${result.error.issues[0]?.path.join('.')} ${result.error.issues[0]?.message}`);
  return result.data;
}

function templateSource(config: z.output<typeof tokenizerConfigSchema>, file: string | null): string {
  if (file !== null) return file;
  const { chat_template: own } = config;
  const source = Array.isArray(own) ? own.find(({ name }) => name === 'default')?.template : own;
  if (source === undefined || source === null)
    throw invalid(
      'there is no chat template: neither chat_template.jinja nor chat_template in tokenizer_config.json',
    );
  return source;
}

/**
 * Loads tokenizer.json, tokenizer_config.json, chat_template.jinja (which wins over the config's) and generation_config.json of a
 * model folder. Throws LowrankError base_model_invalid.
 */
export async function loadChatTokenizer(folder: string): Promise<ChatTokenizer> {
  const [tokenizerText, configText, templateText, generationText] = await Promise.all(
    ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja', 'generation_config.json'].map((name) =>
      readOptional(join(folder, name)),
    ),
  );
  if (tokenizerText === null || tokenizerText === undefined)
    throw invalid('the folder has no tokenizer.json');
  const json = parseAs(tokenizerSchema, 'tokenizer.json', tokenizerText);
  const config = parseAs(tokenizerConfigSchema, 'tokenizer_config.json', configText ?? '{}');
  const generation = parseAs(generationConfigSchema, 'generation_config.json', generationText ?? '{}');
  let tokenizer: Tokenizer;
  try {
    tokenizer = new Tokenizer(json, { ...config, clean_up_tokenization_spaces: false });
  } catch (error) {
    throw invalid(`tokenizer.json cannot be used: ${(error as Error).message}`, error);
  }

  const idOf = (token: string | null | undefined): number | null =>
    token === null || token === undefined ? null : (tokenizer.token_to_id(token) ?? null);
  const eosId = idOf(config.eos_token);
  const stops = [eosId, generation.eos_token_id].flat().filter((id): id is number => typeof id === 'number');
  const tokens: Record<string, string> = {};
  for (const name of ['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const) {
    const token = config[name];
    if (typeof token === 'string') tokens[name] = token;
  }
  const source = templateSource(config, templateText ?? null);
  const template = compileTemplate(source, tokens);
  const addedContents = new Map(json.added_tokens.map(({ id, content }) => [id, content]));
  const byteLevel = isByteLevel(json['decoder']);
  const hash = createHash('sha256');
  const stopIds = new Set(stops);
  for (const part of [tokenizerText, configText ?? '', source, [...stopIds].sort((a, b) => a - b).join()])
    hash.update(createHash('sha256').update(part).digest());

  const decode = (ids: readonly number[], keepSpecial = false): string =>
    ids.length === 0
      ? ''
      : tokenizer.decode([...ids], {
          skip_special_tokens: !keepSpecial,
          clean_up_tokenization_spaces: false,
        });

  return {
    vocabSize: highestId(tokenizer, addedContents) + 1,
    bosId: idOf(config.bos_token),
    eosId,
    stopIds,
    templateSha256: template.sha256,
    template: source,
    fingerprint: hash.digest('hex'),
    encode(text) {
      const { ids } = tokenizer.encode(text, { add_special_tokens: false });
      if (ids.some((id) => !Number.isInteger(id)))
        throw invalid('the tokenizer has no id for a part of the text and no unk_token');
      return ids;
    },
    decode: (ids, { keepSpecial = false } = {}) => decode(ids, keepSpecial),
    stream: ({ keepSpecial = false } = {}) => textStream((ids) => decode(ids, keepSpecial)),
    render: (messages, options) => template.render(messages, options),
    bytesOf: tokenBytes({
      decoder: json['decoder'],
      added: json.added_tokens,
      tokenOf: (id) => tokenizer.id_to_token(id),
    }),
    byteLengths(ids) {
      if (!byteLevel) return null;
      // Byte-level vocabularies write every byte as one character (GPT-2's table); added tokens are written as they are.
      return ids.map((id) => {
        const added = addedContents.get(id);
        return added === undefined ? [...(tokenizer.id_to_token(id) ?? '')].length : Buffer.byteLength(added);
      });
    },
  };
}

function highestId(tokenizer: Tokenizer, added: Map<number, string>): number {
  let highest = -1;
  for (const id of tokenizer.get_vocab().values()) highest = Math.max(highest, id);
  for (const id of added.keys()) highest = Math.max(highest, id);
  return highest;
}

/** Decodes from a moving window: a token may change the text of the one before it, but not of those before a finished one. */
function textStream(decode: (ids: readonly number[]) => string): TextStream {
  const ids: number[] = [];
  let begin = 0;
  let shown = 0;
  const advance = (final: boolean): string => {
    const before = decode(ids.slice(begin, shown));
    const text = decode(ids.slice(begin));
    if (!final && (text.length <= before.length || text.endsWith('\uFFFD'))) return '';
    begin = shown;
    shown = ids.length;
    return text.slice(before.length);
  };
  return {
    push(id) {
      ids.push(id);
      return advance(false);
    },
    end: () => (shown < ids.length ? advance(true) : ''),
  };
}
