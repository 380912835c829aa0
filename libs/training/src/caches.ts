import { LowrankError, type BaseStorage, type DatasetFormat, type StoredFile } from '@lowrank/contracts';
import {
  encodeDatasetFile,
  readCheckpointQuantization,
  readTokenFile,
  tokensFormat,
  type EncodedRow,
} from '@lowrank/datasets';
import { KernelError, type Base, type Kernels } from '@lowrank/kernels';
import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256 } from './files';
import { inTurn } from './in-turn';

/** Raised when the kernel library writes quantized bases differently. */
const QUANTIZED_FORMAT = 2;

/** Identifies a base model's content: SHA-256 over names and hashes of its files. */
export function modelKey(files: readonly Pick<StoredFile, 'path' | 'sha256'>[]): string {
  const lines = files.map(({ path, sha256: hash }) => `${hash}  ${path}\n`);
  return sha256(lines.sort().join(''));
}

/** Whether a base model's file holds weights, which are not needed where the quantized base is there already. */
export const isWeights = ({ path }: { path: string }): boolean => path.endsWith('.safetensors');

/** The storage that a model's base ends up in: the checkpoint's own when it is quantized already, else what is asked for. */
export async function chooseStorage(modelDir: string, asked: BaseStorage): Promise<BaseStorage> {
  return (await readCheckpointQuantization(modelDir)) ?? asked;
}

/** `nf4-double`, `nf4`, `int8`, …: equal for storages that are the same in bytes. */
export function storageName({ quantization, doubleQuantization }: BaseStorage): string {
  const double = doubleQuantization && (quantization === 'nf4' || quantization === 'fp4');
  return double ? `${quantization}-double` : quantization;
}

/** A base model on this machine and how it is kept. */
export interface StoredBase {
  /** modelKey of its files. */
  key: string;
  /** From chooseStorage. */
  storage: BaseStorage;
  cacheDir: string;
}

/** Where the quantized base of a model lies in a cache folder. */
export function quantizedBasePath({ key, storage, cacheDir }: StoredBase): string {
  return join(cacheDir, 'quantized', `${key}-${storageName(storage)}-v${QUANTIZED_FORMAT}.lrb`);
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
export function openQuantizedBase(
  kernels: Kernels,
  modelDir: () => Promise<string>,
  base: StoredBase,
  options: QuantizeOptions = {},
): Promise<Base> {
  const file = quantizedBasePath(base);
  return inTurn(file, async () => {
    if (await exists(file)) {
      try {
        return await kernels.openBase(file);
      } catch (error) {
        // Written again over the damaged one: removing it might remove what another process has just written.
        if (!(error instanceof KernelError && error.status === 'bad_format')) throw error;
      }
    }
    return kernels.openBase(await writeQuantizedBase(kernels, await modelDir(), base, options));
  });
}

/** Writes the quantized base of a model unless the cache has it; returns its path. */
export async function ensureQuantizedBase(
  kernels: Kernels,
  modelDir: string,
  base: StoredBase,
  options: QuantizeOptions = {},
): Promise<string> {
  const file = quantizedBasePath(base);
  return (await exists(file)) ? file : writeQuantizedBase(kernels, modelDir, base, options);
}

async function writeQuantizedBase(
  kernels: Kernels,
  modelDir: string,
  base: StoredBase,
  options: QuantizeOptions,
): Promise<string> {
  const file = quantizedBasePath(base);
  await mkdir(dirname(file), { recursive: true });
  const { quantization: format, doubleQuantization } = base.storage;
  await kernels.quantizeBase(modelDir, file, { ...options, quantization: { format, doubleQuantization } });
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
export function loadTokens(options: TokenCacheOptions): Promise<EncodedRow[]> {
  const { file, format, tokenizerDir, fingerprint, maxLineBytes, cacheDir, signal } = options;
  const key = sha256([options.sha256, format, fingerprint, tokensFormat].join('\n'));
  const target = join(cacheDir, 'tokens', `${key}.tok`);
  return inTurn(target, async () => {
    const cached = await readTokenFile(target);
    if (cached !== null) return cached;
    await encodeDatasetFile(file, target, { tokenizerDir, format, maxLineBytes, signal });
    const rows = await readTokenFile(target);
    if (rows === null)
      throw new LowrankError('internal', `the token file ${target} is damaged right after it was written`);
    return rows;
  });
}
