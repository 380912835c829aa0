import { LowrankError, type DatasetFormat, type StoredFile } from '@lowrank/contracts';
import { encodeDatasetFile, readTokenFile, type EncodedRow } from '@lowrank/datasets';
import { KernelError, type Base, type Kernels } from '@lowrank/kernels';
import { mkdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256 } from './files';

/** Raised when the kernel library writes quantized bases differently. */
const QUANTIZED_FORMAT = 2;
/** Raised when the same rows would give other tokens. */
const TOKENS_FORMAT = 1;

/** Identifies a base model's content: SHA-256 over names and hashes of its files. */
export function modelKey(files: readonly Pick<StoredFile, 'path' | 'sha256'>[]): string {
  const lines = files.map(({ path, sha256: hash }) => `${hash}  ${path}\n`);
  return sha256(lines.sort().join(''));
}

/** Where the quantized base of a model lies in a cache folder. */
export function quantizedBasePath(cacheDir: string, key: string): string {
  return join(cacheDir, 'quantized', `${key}-nf4-v${QUANTIZED_FORMAT}.lrb`);
}

export interface QuantizeOptions {
  signal?: AbortSignal;
  /** Bytes of weights done and in all. */
  onProgress?: (done: number, total: number) => void;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/**
 * Opens the quantized base of a model, writing it first when the cache has none or a damaged one. Two processes that do so at the
 * same time write the same bytes; each file appears whole. `modelDir` is only asked for when the weights have to be read.
 * Throws KernelError.
 */
export async function openQuantizedBase(
  kernels: Kernels,
  modelDir: () => Promise<string>,
  cacheDir: string,
  key: string,
  options: QuantizeOptions = {},
): Promise<Base> {
  const file = quantizedBasePath(cacheDir, key);
  if (await exists(file)) {
    try {
      return await kernels.openBase(file);
    } catch (error) {
      if (!(error instanceof KernelError && error.status === 'bad_format')) throw error;
      await rm(file, { force: true });
    }
  }
  return kernels.openBase(await ensureQuantizedBase(kernels, await modelDir(), cacheDir, key, options));
}

/** Writes the quantized base of a model unless the cache has it; returns its path. */
export async function ensureQuantizedBase(
  kernels: Kernels,
  modelDir: string,
  cacheDir: string,
  key: string,
  options: QuantizeOptions = {},
): Promise<string> {
  const file = quantizedBasePath(cacheDir, key);
  if (await exists(file)) return file;
  await mkdir(dirname(file), { recursive: true });
  await kernels.quantizeBase(modelDir, file, options);
  return file;
}

export interface TokenCacheOptions {
  /** JSONL file, and the SHA-256 of its bytes. */
  file: string;
  sha256: string;
  format: DatasetFormat;
  /** Folder with the model's tokenizer, and ChatTokenizer.fingerprint of it. */
  tokenizerDir: string;
  fingerprint: string;
  maxLineBytes: number;
  cacheDir: string;
  signal?: AbortSignal;
}

/**
 * Tokens of every row of a dataset: from the cache, or encoded off this thread and cached. Row order is the file's.
 * Throws LowrankError dataset_invalid with the first line that cannot be used.
 */
export async function loadTokens(options: TokenCacheOptions): Promise<EncodedRow[]> {
  const { file, format, tokenizerDir, fingerprint, maxLineBytes, cacheDir, signal } = options;
  const key = sha256([options.sha256, format, fingerprint, TOKENS_FORMAT].join('\n'));
  const target = join(cacheDir, 'tokens', `${key}.tok`);
  const cached = await readTokenFile(target);
  if (cached !== null) return cached;
  await encodeDatasetFile(file, target, { tokenizerDir, format, maxLineBytes, signal });
  const rows = await readTokenFile(target);
  if (rows === null)
    throw new LowrankError('internal', `the token file ${target} is damaged right after it was written`);
  return rows;
}
