// Llama-architecture models with random weights, by size: what benchmarks train.
import { execFileSync } from 'node:child_process';
import { copyFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root, run } from './results.mjs';

const require = createRequire(import.meta.url);
/** The compiled index of a library, or another of its files. */
export const compiled = (path) => require(join(root, 'dist', path));

export const models = {
  '10M': { hidden: 256, layers: 8, intermediate: 704, heads: 4, 'kv-heads': 2, vocab: 8192 },
  '50M': { hidden: 640, layers: 10, intermediate: 1792, heads: 10, 'kv-heads': 5, vocab: 8192 },
  '100M': { hidden: 768, layers: 12, intermediate: 2048, heads: 12, 'kv-heads': 4, vocab: 32_000 },
  '500M': { hidden: 1536, layers: 16, intermediate: 4096, heads: 24, 'kv-heads': 8, vocab: 32_000 },
};

export const oracle = join(root, 'tools/oracle');
export const python = join(oracle, '.venv/bin/python');
export const setUpOracle = () => execFileSync(join(oracle, 'setup.sh'), { stdio: 'inherit' });

/** Makes the model of a named size in `work`, with the sample's tokenizer; returns its folder. */
export function makeModel(work, name) {
  const folder = join(work, name);
  const options = Object.entries(models[name]).flatMap(([key, value]) => [`--${key}`, String(value)]);
  run(python, [join(oracle, 'make_random_model.py'), folder, ...options]);
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(join(root, 'samples/base', file), join(folder, file));
  return folder;
}

/** Quantizes a model folder into `file`: {seconds, bytes}. */
export async function quantize(
  folder,
  file,
  threads,
  storage = { quantization: 'nf4', doubleQuantization: true },
) {
  const kernels = compiled('libs/kernels/src/index.js').openKernels({ threads });
  const started = performance.now();
  const { quantization: format, doubleQuantization } = storage;
  await kernels.quantizeBase(folder, file, { quantization: { format, doubleQuantization } });
  kernels.close();
  return { seconds: (performance.now() - started) / 1000, bytes: statSync(file).size };
}

/** What an import keeps of a model folder, as the memory predictor takes it. */
export async function modelFacts(folder) {
  return compiled('libs/datasets/src/index.js').inspectModelFolder(folder);
}
