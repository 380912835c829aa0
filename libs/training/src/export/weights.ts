import { LowrankError } from '@lowrank/contracts';
import {
  type ModelConfig,
  parseModelConfig,
  readSafetensorsHeader,
  SafetensorsError,
  type SafetensorsEntry,
} from '@lowrank/datasets';
import { type FileHandle, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AdapterParts } from '../combine/pairs';
import { toFloats } from '../safetensors';
import { changesOf } from './changes';

/** A tensor of a model's weights, read when it is asked for: a model does not fit into memory at once. */
export interface Weight {
  /** In the checkpoint, and as this release of transformers calls it. */
  entry: SafetensorsEntry;
  name: string;
  /** Its bytes in the file. */
  bytes(): Promise<Buffer>;
  /** The values with the adapter merged in, as float32. */
  merged(): Promise<Float32Array>;
  /** Whether the adapter changes it. */
  changed: boolean;
}

export interface WeightFile {
  path: string;
  /** In the order in which they lie in the file. */
  weights: Weight[];
  /** The file's beginning: size of the header, and the header. */
  header(): Promise<Buffer>;
}

/** The weights of a base model, with an adapter merged into them when there is one: W + scale · B · A, DoRA's magnitudes, biases. */
export interface MergedWeights {
  config: ModelConfig;
  /** config.json as it is. */
  settings: Record<string, unknown>;
  files: WeightFile[];
  close(): Promise<void>;
}

const unusable = (message: string): LowrankError => new LowrankError('export_unsupported', message);

async function weightFileNames(modelDir: string): Promise<string[]> {
  const names = await readdir(modelDir);
  if (names.includes('model.safetensors')) return ['model.safetensors'];
  const index = JSON.parse(await readFile(join(modelDir, 'model.safetensors.index.json'), 'utf8')) as {
    weight_map: Record<string, string>;
  };
  return [...new Set(Object.values(index.weight_map))].sort();
}

async function readAt(file: FileHandle, offset: number, bytes: number): Promise<Buffer> {
  // Of its own: what is read as floats has to lie on a multiple of four bytes.
  const buffer = Buffer.from(new ArrayBuffer(bytes));
  for (let at = 0; at < bytes;) {
    const { bytesRead } = await file.read(buffer, at, Math.min(bytes - at, 1 << 30), offset + at);
    if (bytesRead === 0) throw new SafetensorsError('a weight file ends before its last tensor');
    at += bytesRead;
  }
  return buffer;
}

const nothing: AdapterParts = { pairs: new Map(), magnitudes: new Map(), biases: new Map() };

/**
 * Opens the weights of a model folder, which an import has checked. Throws LowrankError export_unsupported for a checkpoint that is
 * quantized already, validation_failed when the adapter is of another base.
 */
export async function openWeights(modelDir: string, adapter: AdapterParts = nothing): Promise<MergedWeights> {
  const settings = JSON.parse(await readFile(join(modelDir, 'config.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  const config = parseModelConfig(settings);
  if (config.quantization !== null)
    throw unusable(
      `the base model's checkpoint is quantized (${config.quantization.quantization}); an adapter can be merged only into weights in 16 or 32 bits. Export it as 'gguf-adapter', or train on the plain checkpoint`,
    );
  const newName = new Map([...config.tensors.keys()].map((name) => [config.olderName(name), name]));
  const change = changesOf(adapter);
  const handles: FileHandle[] = [];
  const close = async () => void (await Promise.all(handles.map((handle) => handle.close())));
  try {
    const files: WeightFile[] = [];
    for (const path of await weightFileNames(modelDir)) {
      const entries = await readSafetensorsHeader(join(modelDir, path), path);
      const file = await open(join(modelDir, path), 'r');
      handles.push(file);
      const weights = entries
        .sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
        .map((entry): Weight => {
          const name = config.tensors.has(entry.name) ? entry.name : (newName.get(entry.name) ?? entry.name);
          const apply = change.take(name, entry.shape);
          const bytes = () => readAt(file, entry.offset, entry.bytes);
          return {
            ...{ entry, name, bytes },
            changed: apply !== null,
            merged: async () => {
              const values = toFloats(await bytes(), entry, path);
              apply?.(values);
              return values;
            },
          };
        });
      const end = weights[0]?.entry.offset ?? 0;
      files.push({ path, weights, header: () => readAt(file, 0, end) });
    }
    change.finish();
    return { config, settings, files, close };
  } catch (error) {
    await close();
    throw error;
  }
}
