import { type LinearLayer, type Recipe } from '@lowrank/contracts';
import { lastParts, resolveTargets } from '@lowrank/domain';
import { type AdapterSpec } from '@lowrank/kernels';

/** The adapter that a recipe asks for on a base. Throws LowrankError recipe_invalid as resolveTargets. */
export function adapterSpec(
  linears: readonly LinearLayer[],
  { lora, training, optimizer }: Recipe,
): AdapterSpec {
  return {
    targets: resolveTargets(linears, lora),
    dropout: lora.dropout,
    bias: lora.bias,
    optimizer: optimizer.name,
    init: lora.init === 'pissa' ? { pissa: { iterations: lora.initIterations } } : 'default',
    seed: BigInt(training.seed),
  };
}

/**
 * target_modules of adapter_config.json: what PEFT has to be told to make the same layers. In a model with other parts beside the
 * language model, whose layers have the same names (gemma3's vision tower), only whole names say which are meant.
 */
export function targetModules(linears: readonly LinearLayer[], lora: Recipe['lora']): string | string[] {
  if (linears.some(({ name }) => name.includes('.language_model.')))
    return resolveTargets(linears, lora).map(({ name }) => name);
  if (lora.targets === 'all-linear') return lastParts(linears.map(({ name }) => name));
  return typeof lora.targets === 'string' ? lora.targets : [...new Set(lora.targets)].sort();
}
