// Llama-architecture models with random weights, for benchmarks: their names say roughly how many parameters they have.
import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root, run } from './results.mjs';

export const { openKernels } = createRequire(import.meta.url)('../dist/libs/kernels/src/index.js');
export const oracle = join(root, 'tools/oracle');
export const python = join(oracle, '.venv/bin/python');

const models = {
  '10M': { hidden: 256, layers: 8, intermediate: 704, heads: 4, 'kv-heads': 2, vocab: 8192 },
  '50M': { hidden: 640, layers: 10, intermediate: 1792, heads: 10, 'kv-heads': 5, vocab: 8192 },
  '100M': { hidden: 768, layers: 12, intermediate: 2048, heads: 12, 'kv-heads': 4, vocab: 32_000 },
  '500M': { hidden: 1536, layers: 16, intermediate: 4096, heads: 24, 'kv-heads': 8, vocab: 32_000 },
};

/** Makes a random model of a named size in `work` and quantizes it: {folder, base}. */
export async function makeModel(work, name, threads) {
  const folder = join(work, name);
  const options = Object.entries(models[name]).flatMap(([key, value]) => [`--${key}`, String(value)]);
  run(python, [join(oracle, 'make_random_model.py'), folder, ...options]);
  const kernels = openKernels({ threads });
  const base = join(work, `${name}.lrb`);
  const started = performance.now();
  await kernels.quantizeBase(folder, base);
  kernels.close();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const size = Math.round(statSync(base).size / 2 ** 20);
  process.stdout.write(`${name}: quantized in ${seconds} s, ${size} MiB\n`);
  return { folder, base };
}
