// Llama-architecture models with random weights, for benchmarks: their names say roughly how many parameters they have.
import { execFileSync } from 'node:child_process';
import { copyFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root, run } from './results.mjs';

const require = createRequire(import.meta.url);
/** A compiled library, by its name. */
export const library = (name) => require(join(root, 'dist/libs', name, 'src/index.js'));
export const { openKernels } = library('kernels');
export const oracle = join(root, 'tools/oracle');
export const python = join(oracle, '.venv/bin/python');
export const setUpOracle = () => execFileSync(join(oracle, 'setup.sh'), { stdio: 'inherit' });

const models = {
  '10M': { hidden: 256, layers: 8, intermediate: 704, heads: 4, 'kv-heads': 2, vocab: 8192 },
  '50M': { hidden: 640, layers: 10, intermediate: 1792, heads: 10, 'kv-heads': 5, vocab: 8192 },
  '100M': { hidden: 768, layers: 12, intermediate: 2048, heads: 12, 'kv-heads': 4, vocab: 32_000 },
  '500M': { hidden: 1536, layers: 16, intermediate: 4096, heads: 24, 'kv-heads': 8, vocab: 32_000 },
};

/** Makes a random model of a named size in `work`, with the sample's tokenizer; returns its folder. */
export function makeFolder(work, name) {
  const folder = join(work, name);
  const options = Object.entries(models[name]).flatMap(([key, value]) => [`--${key}`, String(value)]);
  run(python, [join(oracle, 'make_random_model.py'), folder, ...options]);
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(join(root, 'samples/base', file), join(folder, file));
  return folder;
}

/** Makes a random model of a named size in `work` and quantizes it: {folder, base}. */
export async function makeModel(work, name, threads) {
  const folder = makeFolder(work, name);
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
