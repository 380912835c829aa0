import { type Decoder, LowrankError, recipeSchema } from '@lowrank/contracts';
import { parseModelConfig } from '@lowrank/datasets';
import { predictServingMemory, type ServingMemory } from '@lowrank/domain';
import { quantizedBasePath, type StoredBase } from '@lowrank/training';
import { readFile, stat } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';

/** Memory of this machine, or of the part of it that this process may have (cgroups), in bytes. */
export function machineBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

export interface Shape {
  threads: number;
  /** Tokens that all sequences of a base have room for together, and answers at a time. */
  cacheTokens: number;
  rows: number;
}

/** How a config.json names what the embeddings are kept in. */
const dtypes: Record<string, Decoder['dtype']> = { bfloat16: 'BF16', float16: 'F16' };

/** What a base of a model whose config.json lies in a folder will take, in bytes. Its weights are known once they are quantized. */
export async function memoryOf(
  folder: string,
  stored: StoredBase,
  { threads, cacheTokens, rows }: Shape,
): Promise<ServingMemory> {
  const settings = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as Record<string, string>;
  const config = parseModelConfig(settings);
  const dtype = dtypes[settings['torch_dtype'] ?? settings['dtype'] ?? ''] ?? 'F32';
  const predicted = predictServingMemory(
    {
      model: { ...config, decoder: { ...config.decoder, dtype } },
      recipe: recipeSchema.parse({ base: stored.storage, training: { compute: 'f32' } }),
      threads,
    },
    { tokens: cacheTokens, rows },
  );
  const file = await stat(quantizedBasePath(stored)).catch(() => null);
  return { ...predicted, weights: file?.size ?? predicted.weights };
}

export const sumOf = ({ weights, pages, workspace }: ServingMemory): number => weights + pages + workspace;

/** Error: server_memory_short, unless `memory` fits what is left of `limit` beside what is `inUse`. */
export function assertRoom(name: string, memory: ServingMemory, inUse: number, limit: number): void {
  const { weights, pages, workspace } = memory;
  assertFits(
    sumOf(memory),
    inUse,
    limit,
    (needed, available) =>
      `${name} needs ${needed} of memory here (${mebibytes(weights)} for its weights, ${mebibytes(pages)} for pages of the cache, ` +
      `${mebibytes(workspace)} to work in); ${available} are available.`,
  );
}

/** Error: server_memory_short, unless an adapter whose weights take so many bytes fits what is left of `limit` beside what is `inUse`. */
export function assertAdapterRoom(bytes: number, inUse: number, limit: number): void {
  assertFits(
    bytes,
    inUse,
    limit,
    (needed, available) =>
      `The adapter needs ${needed} of memory here; ${available} are available beside what is in use or pinned.`,
  );
}

/** `message`: of what is needed, and of what of all is available. */
function assertFits(
  needed: number,
  inUse: number,
  limit: number,
  message: (needed: string, available: string) => string,
): void {
  const available = Math.max(0, limit - inUse);
  if (needed <= available) return;
  throw new LowrankError(
    'server_memory_short',
    message(mebibytes(needed), `${mebibytes(available)} of ${mebibytes(limit)}`),
  );
}

export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
