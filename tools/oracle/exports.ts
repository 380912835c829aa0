/**
 * The product's own exports, for the oracle.
 *
 *     node --require tools/typescript.cjs tools/oracle/exports.ts merged|gguf-adapter|gguf-f16|gguf-q8_0 MODEL ADAPTER OUT
 */
import { mergeFolder, writeGgufAdapter, writeGgufModel } from '@lowrank/training';

const [format, model, adapter, out] = process.argv.slice(2) as [string, string, string, string];
const formats: Record<string, () => Promise<unknown>> = {
  merged: () => mergeFolder(model, adapter, out),
  'gguf-adapter': () => writeGgufAdapter(model, adapter, out, { name: 'oracle' }),
  'gguf-f16': () => writeGgufModel(model, adapter, out, { precision: 'f16', name: 'oracle' }),
  'gguf-q8_0': () => writeGgufModel(model, adapter, out, { precision: 'q8_0', name: 'oracle' }),
};

formats[format]?.().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
