/**
 * The product's own way from a recipe to an adapter folder, and from a folder to an adapter, for the oracle.
 *
 *     node --require tools/typescript.cjs tools/oracle/adapters.ts MODEL BATCHES.json OUT RECIPE.json
 *     node --require tools/typescript.cjs tools/oracle/adapters.ts MODEL BATCHES.json OUT --load ADAPTER
 *
 * BATCHES.json is [{"tokens": […], "targets": […], "starts": […]}, …]. The first form takes an optimizer step on each batch and
 * writes the adapter to OUT; both write OUT/logits.f32, of the first batch.
 */
import { recipeSchema } from '@lowrank/contracts';
import { openKernels, type Adapter, type Base, type PackedBatch } from '@lowrank/kernels';
import {
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  adapterConfig,
  adapterSpec,
  adapterWeights,
  loadAdapter,
} from '@lowrank/training';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [model, batchesFile, out, ...how] = process.argv.slice(2) as [string, string, string, string, string?];

const batches = (JSON.parse(readFileSync(batchesFile, 'utf8')) as Record<string, number[]>[]).map(
  ({ tokens, targets, starts }): PackedBatch => ({
    tokens: Int32Array.from(tokens ?? []),
    targets: Int32Array.from(targets ?? []),
    starts: Int32Array.from(starts ?? []),
  }),
);

async function trained(base: Base, recipeFile: string): Promise<Adapter> {
  const recipe = recipeSchema.parse(JSON.parse(readFileSync(recipeFile, 'utf8')));
  const adapter = base.createAdapter(adapterSpec(base.info.linears, recipe));
  for (const [step, batch] of batches.entries()) {
    const lossScale = 1 / batch.targets.filter((target) => target >= 0).length;
    const end = batch.tokens.length;
    await base.trainStep(batch, [{ adapter, begin: 0, end, lossScale, dropoutSeed: BigInt(step) }]);
    const { optimizer } = recipe;
    await adapter.optimizerStep({ ...optimizer, bRateRatio: optimizer.loraPlusRatio });
  }
  const { dtype } = recipe.lora;
  writeFileSync(join(out, ADAPTER_WEIGHTS), adapterWeights(adapter, dtype));
  writeFileSync(join(out, ADAPTER_CONFIG), adapterConfig(base, recipe, model, 'main'));
  if (dtype === 'f32') return adapter;
  adapter.close();
  return loadAdapter(base, out); // as it was rounded
}

async function main(): Promise<void> {
  const kernels = openKernels({ threads: 1, compute: 'f32' });
  const file = join(out, 'base');
  await kernels.quantizeBase(model, file);
  const base = await kernels.openBase(file);
  const adapter = how[0] === '--load' ? await loadAdapter(base, how[1] ?? '') : await trained(base, how[0]);
  const [first] = batches as [PackedBatch];
  const logits = await base.logits(first, [{ adapter, begin: 0, end: first.tokens.length }]);
  writeFileSync(join(out, 'logits.f32'), logits);
  adapter.close();
  base.close();
  kernels.close();
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
