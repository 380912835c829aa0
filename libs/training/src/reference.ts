import { type Recipe } from '@lowrank/contracts';
import { evaluationRows } from '@lowrank/domain';
import { type Base } from '@lowrank/kernels';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256, writeSynced } from './files';
import { inTurn } from './in-turn';
import { toBatch, type Sequence } from './sequences';

/** Raised when the same sequences would get other log-probabilities. */
const REFERENCE_FORMAT = 1;

export interface ReferenceOptions {
  recipe: Recipe;
  /** What else the numbers depend on: base model, and the instruction set of this machine. */
  key: readonly string[];
  cacheDir: string;
  signal: AbortSignal;
}

function hashOf(sequences: readonly Sequence[]): string {
  const hash = createHash('sha256');
  for (const { row, length } of sequences) {
    hash.update(`${length};`);
    for (const part of [row.tokens, row.lossMask]) {
      const { buffer, byteOffset, byteLength } = part.subarray(0, length + 1);
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    }
  }
  return hash.digest('hex');
}

async function read(path: string, count: number): Promise<Float64Array | null> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  return bytes?.length === count * 8 ? new Float64Array(new Uint8Array(bytes).buffer) : null;
}

async function compute(
  base: Base,
  sequences: readonly Sequence[],
  options: ReferenceOptions,
): Promise<Float64Array> {
  const { recipe, signal } = options;
  const out = new Float64Array(sequences.length);
  const lengths = sequences.map(({ length }) => length);
  for (const rows of evaluationRows(lengths, recipe)) {
    const batch = toBatch(sequences, rows);
    const bare = [{ adapter: null, begin: 0, end: batch.tokens.length }];
    const logps = await base.sequenceLogps(batch, bare, { signal });
    rows.flat().forEach((index, s) => (out[index] = logps[s] as number));
  }
  return out;
}

/**
 * The sequences with their log-probability under the bare base, which DPO compares with: one pass forward over the data, or from the
 * cache, where every attempt and every job on the same data finds it.
 */
export async function withReference(
  base: Base,
  sequences: readonly Sequence[],
  options: ReferenceOptions,
): Promise<Sequence[]> {
  const { sequenceLength, rows, compute: operands } = options.recipe.training;
  const key = [REFERENCE_FORMAT, ...options.key, operands, sequenceLength, rows, hashOf(sequences)];
  const file = join(options.cacheDir, 'reference', `${sha256(key.join('\n'))}.f64`);
  const found = await inTurn(file, async () => {
    const cached = await read(file, sequences.length);
    if (cached !== null) return cached;
    const logps = await compute(base, sequences, options);
    await mkdir(dirname(file), { recursive: true });
    const temporary = `${file}.tmp-${process.pid}`;
    await writeSynced(temporary, new Uint8Array(logps.buffer));
    await rename(temporary, file);
    return logps;
  });
  return sequences.map((sequence, i) => ({ ...sequence, reference: found[i] as number }));
}
