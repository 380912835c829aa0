import { type Decoder, LowrankError } from '@lowrank/contracts';
import { readFile, readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { type ModelConfig, parseModelConfig } from './model-config';
import { quantizedParts } from './quantized-checkpoint';
import { readSafetensorsHeader, SafetensorsError, type SafetensorsEntry } from './safetensors';
import { runInThread } from './thread';

/** Files beside the weights that are worth keeping; everything else in a folder is left behind. */
const KEPT_FILES = new Set([
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'model.safetensors.index.json',
  'README.md',
  'LICENSE',
]);
const PICKLE = /\.(bin|pt|pth|ckpt|pkl|pickle)$/;
const MAX_JSON_BYTES = 16 << 20;
const MAX_TOKENIZER_BYTES = 128 << 20;
const MAX_SHARDS = 1024;
/** Much more than the largest tokenizers take to load. */
const TOKENIZER_MS = 60_000;
const WEIGHT_DTYPES: Decoder['dtype'][] = ['F32', 'F16', 'BF16'];

type Tensors = Map<string, SafetensorsEntry>;

export interface ModelFile {
  /** Plain name inside the folder. */
  path: string;
  bytes: number;
}

export interface ModelFolder {
  modelType: string;
  parameters: number;
  contextLength: number;
  vocabSize: number;
  decoder: Decoder;
  /** What to store, in name order: configuration, tokenizer and the weights that the model uses. */
  files: ModelFile[];
}

export interface InspectOptions {
  /**
   * Folders that files may lie in once links are followed (a hub cache links to its blobs). Default: the folder itself.
   */
  roots?: string[];
  /** How long tokenizer and template may take to load and try. Default: a minute. */
  tokenizerMs?: number;
  signal?: AbortSignal;
}

const invalid = (message: string): LowrankError => new LowrankError('base_model_invalid', message);

/** The regular files of a folder by name; a link that leaves the roots is refused before anything is read. */
async function listFiles(folder: string, roots: string[]): Promise<Map<string, ModelFile>> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch {
    throw invalid(`${folder} is not a readable folder`);
  }
  const allowed = await Promise.all([folder, ...roots].map((root) => realpath(root).catch(() => root)));
  const files = new Map<string, ModelFile>();
  for (const name of names.sort()) {
    const wanted = KEPT_FILES.has(name) || name.endsWith('.safetensors') || PICKLE.test(name);
    if (!wanted) continue;
    const target = await realpath(join(folder, name)).catch(() => null);
    if (target === null) throw invalid(`${name} is a link to nothing`);
    if (!allowed.some((root) => target === root || target.startsWith(root.endsWith(sep) ? root : root + sep)))
      throw new LowrankError(
        'import_path_refused',
        `${name} is a link to a place outside of the allowed folders`,
      );
    const info = await stat(target);
    if (!info.isFile()) continue;
    const limit = name === 'tokenizer.json' ? MAX_TOKENIZER_BYTES : MAX_JSON_BYTES;
    if (KEPT_FILES.has(name) && info.size > limit)
      throw invalid(`${name} has ${info.size} bytes; at most ${limit}`);
    files.set(name, { path: name, bytes: info.size });
  }
  return files;
}

async function readJson(folder: string, files: Map<string, ModelFile>, name: string): Promise<unknown> {
  if (!files.has(name)) throw invalid(`the folder has no ${name}`);
  try {
    return JSON.parse(await readFile(join(folder, name), 'utf8')) as unknown;
  } catch {
    throw invalid(`${name} is not JSON`);
  }
}

interface Weights {
  /** Names of the files: model.safetensors, or the shards that the index lists. */
  names: string[];
  /** The index's word on which shard holds a tensor. */
  shardOf: [tensor: string, shard: string][];
}

async function weightFiles(folder: string, files: Map<string, ModelFile>): Promise<Weights> {
  if (files.has('model.safetensors')) return { names: ['model.safetensors'], shardOf: [] };
  if (!files.has('model.safetensors.index.json')) {
    const pickle = [...files.keys()].find((name) => PICKLE.test(name));
    if (pickle !== undefined)
      throw new LowrankError(
        'pickle_refused',
        `the folder holds pickled weights (${pickle}) and no safetensors`,
      );
    throw invalid('the folder has neither model.safetensors nor model.safetensors.index.json');
  }
  const index = (await readJson(folder, files, 'model.safetensors.index.json')) as {
    weight_map?: unknown;
  } | null;
  const map = index?.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map))
    throw invalid('model.safetensors.index.json has no weight_map');
  const shards = [...new Set(Object.values(map))];
  if (shards.length > MAX_SHARDS)
    throw invalid(`model.safetensors.index.json lists more than ${MAX_SHARDS} shards`);
  for (const shard of shards) {
    if (typeof shard !== 'string' || !shard.endsWith('.safetensors') || !files.has(shard))
      throw invalid(
        `model.safetensors.index.json names ${JSON.stringify(shard)?.slice(0, 100)}, which is not in the folder`,
      );
  }
  return { names: (shards as string[]).sort(), shardOf: Object.entries(map) as [string, string][] };
}

async function readWeights(folder: string, { names, shardOf }: Weights): Promise<Tensors> {
  const found = new Map<string, string>();
  const tensors: Tensors = new Map();
  for (const name of names) {
    const entries = await readSafetensorsHeader(join(folder, name), name).catch((error: unknown) => {
      throw error instanceof SafetensorsError ? invalid(error.message) : error;
    });
    for (const entry of entries) {
      if (tensors.has(entry.name)) throw invalid(`${name}: tensor '${entry.name}' is also in another shard`);
      tensors.set(entry.name, entry);
      found.set(entry.name, name);
    }
  }
  // The kernel library refuses such an index; better now than when a job starts.
  const wrong = shardOf.find(([tensor, shard]) => found.get(tensor) !== shard);
  if (wrong !== undefined)
    throw invalid(
      `model.safetensors.index.json says that '${wrong[0].slice(0, 200)}' is in ${wrong[1]}, where it is not`,
    );
  return tensors;
}

function checkTensor(tensors: Tensors, name: string, shape: number[], dtypes: string[]): void {
  const entry = tensors.get(name);
  if (entry === undefined) throw invalid(`the weights lack the tensor '${name}' that config.json asks for`);
  if (!dtypes.includes(entry.dtype))
    throw new LowrankError(
      'base_model_unsupported',
      `tensor '${name}' has dtype ${entry.dtype}; supported: ${dtypes.join(', ')}`,
    );
  if (entry.shape.join() !== shape.join())
    throw invalid(`tensor '${name}' has shape [${entry.shape}], config.json asks for [${shape}]`);
}

/** Name in the checkpoint of a tensor that this release calls `name`. */
const nameIn = (tensors: Tensors, name: string, older: string): string =>
  !tensors.has(name) && tensors.has(older) ? older : name;

/** Every expected tensor, or the parts that stand for it in a checkpoint which bitsandbytes has quantized. */
function checkTensors(tensors: Tensors, { tensors: expected, olderName, quantization }: ModelConfig): void {
  for (const [newName, shape] of expected) {
    const name = nameIn(tensors, newName, olderName(newName));
    const parts = quantization && quantizedParts(name, shape, quantization, (part) => tensors.has(part));
    if (parts === null) checkTensor(tensors, name, shape, WEIGHT_DTYPES);
    else for (const [part, { shape, dtype }] of parts) checkTensor(tensors, part, shape, [dtype]);
  }
}

/** Type of the embeddings, which checkTensors has found to be one of WEIGHT_DTYPES. */
function dtypeOf(tensors: Tensors, { decoder, olderName }: ModelConfig): Decoder['dtype'] {
  const name = `${decoder.prefix}embed_tokens.weight`;
  return tensors.get(nameIn(tensors, name, olderName(name)))?.dtype as Decoder['dtype'];
}

/** Loads tokenizer and chat template, renders and encodes a conversation; gives the vocabulary's size. */
async function tryTokenizer(
  folder: string,
  { tokenizerMs = TOKENIZER_MS, signal }: InspectOptions,
): Promise<number> {
  // A regular expression of tokenizer.json can run for ages, and nothing inside the thread could stop it.
  const limit = AbortSignal.timeout(tokenizerMs);
  try {
    const either = signal === undefined ? limit : AbortSignal.any([signal, limit]);
    return (await runInThread({ task: 'tokenizer', folder }, { signal: either })).vocabSize;
  } catch (error) {
    if (!limit.aborted || error !== limit.reason) throw error;
    throw invalid(`tokenizer.json and the chat template take longer than ${tokenizerMs} ms to try`);
  }
}

/**
 * Checks a Hugging Face model folder before anything of it is used: config.json, safetensors headers (never pickle), that the
 * weights have the names and shapes which config.json asks for, and that tokenizer and chat template load and render.
 * Weights are not read and no code of the folder runs; the tokenizer is tried in a thread of its own, with limits.
 * Throws LowrankError: base_model_invalid, base_model_unsupported, pickle_refused, import_path_refused.
 */
export async function inspectModelFolder(folder: string, options: InspectOptions = {}): Promise<ModelFolder> {
  const files = await listFiles(folder, options.roots ?? []);
  const config = parseModelConfig(await readJson(folder, files, 'config.json'));
  const weights = await weightFiles(folder, files);
  const tensors = await readWeights(folder, weights);
  checkTensors(tensors, config);

  if (!files.has('tokenizer.json')) throw invalid('the folder has no tokenizer.json');
  const vocabSize = await tryTokenizer(folder, options);
  if (vocabSize > config.vocabSize)
    throw invalid(
      `tokenizer.json has ids up to ${vocabSize - 1}, config.json a vocab_size of ${config.vocabSize}`,
    );

  const kept = [...files.values()].filter(({ path }) => KEPT_FILES.has(path) || weights.names.includes(path));
  return {
    modelType: config.modelType,
    parameters: [...config.tensors.values()].reduce(
      (sum, shape) => sum + shape.reduce((product, size) => product * size, 1),
      0,
    ),
    contextLength: config.contextLength,
    vocabSize: config.vocabSize,
    decoder: { ...config.decoder, dtype: dtypeOf(tensors, config) },
    files: kept,
  };
}
