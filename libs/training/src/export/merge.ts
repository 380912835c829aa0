import { copyFile, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { readParts } from '../combine/pairs';
import { readAdapterConfig } from '../peft-config';
import { encodeHalves, toBf16, toF16 } from '../halves';
import { type MergedWeights, openWeights, type Weight } from './weights';

export interface ExportProgress {
  signal?: AbortSignal;
  /** Tensors written and in all. */
  onProgress?: (done: number, total: number) => void;
}

/** The weights of the model in `modelDir` with the adapter in `adapterDir`, in PEFT's format. Throws as openWeights. */
export async function mergedWeights(modelDir: string, adapterDir: string): Promise<MergedWeights> {
  const parts = await readParts(adapterDir, await readAdapterConfig(adapterDir));
  return openWeights(modelDir, parts);
}

/** float32 values in the dtype of a weight file. */
function encode(values: Float32Array, dtype: string): Buffer {
  if (dtype === 'BF16') return encodeHalves(values, toBf16);
  if (dtype === 'F16') return encodeHalves(values, toF16);
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

const bytesOf = async (weight: Weight): Promise<Buffer> =>
  weight.changed ? encode(await weight.merged(), weight.entry.dtype) : weight.bytes();

/** Counts steps of an export; between two of them the event loop gets its turn. Throws the signal's reason. */
export function stepper(
  total: number,
  { signal, onProgress }: ExportProgress,
): (work: () => Promise<void>) => Promise<void> {
  let done = 0;
  return async (work) => {
    signal?.throwIfAborted();
    await work();
    onProgress?.((done += 1), total);
    await setImmediate();
  };
}

/**
 * Merges an adapter into its base: the folder `into`, which is made, becomes the model folder with other weights, file by file and tensor by
 * tensor of the same names, shapes and dtypes. Sums are in double precision and rounded once, to the base's dtype. One tensor is in memory at a time.
 * Throws as mergedWeights, and LowrankError loss_not_finite.
 */
export async function mergeFolder(
  modelDir: string,
  adapterDir: string,
  into: string,
  progress: ExportProgress = {},
): Promise<void> {
  const merged = await mergedWeights(modelDir, adapterDir);
  try {
    await mkdir(into, { recursive: true });
    for (const name of await readdir(modelDir))
      if (!name.endsWith('.safetensors') && !name.endsWith('.md'))
        await copyFile(join(modelDir, name), join(into, name));
    const step = stepper(
      merged.files.reduce((sum, { weights }) => sum + weights.length, 0),
      progress,
    );
    for (const { path, header, weights } of merged.files) {
      const file = await open(join(into, path), 'w');
      try {
        await file.writeFile(await header());
        for (const weight of weights) await step(async () => file.writeFile(await bytesOf(weight)));
        await file.sync();
      } finally {
        await file.close();
      }
    }
  } finally {
    await merged.close();
  }
}
