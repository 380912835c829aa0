/**
 * The product's own exports, for the oracle.
 *
 *     node --require tools/typescript.cjs tools/oracle/exports.ts merged MODEL ADAPTER OUT
 */
import { mergeFolder } from '@lowrank/training';

const [format, model, adapter, out] = process.argv.slice(2) as [string, string, string, string];
const formats: Record<string, () => Promise<unknown>> = {
  merged: () => mergeFolder(model, adapter, out),
};

formats[format]?.().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
