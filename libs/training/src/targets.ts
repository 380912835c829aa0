import { LowrankError, type Recipe } from '@lowrank/contracts';
import { type LinearInfo, type LoraTarget } from '@lowrank/kernels';

/** Whether a name of a recipe or of adapter_config.json means this module: PEFT's rule, the whole name or its last parts. */
export function matchesTarget(module: string, target: string): boolean {
  return module === target || module.endsWith(`.${target}`);
}

/**
 * The linear layers that a recipe adapts, in the base's order.
 * Throws LowrankError recipe_invalid naming every target that means no linear layer of this base.
 */
export function resolveTargets(linears: readonly LinearInfo[], lora: Recipe['lora']): LoraTarget[] {
  const { targets, rank, alpha } = lora;
  const names = targets === 'all-linear' ? allLinear(linears) : targets;
  const unknown = names.filter((target) => !linears.some(({ name }) => matchesTarget(name, target)));
  if (unknown.length > 0) {
    throw new LowrankError(
      'recipe_invalid',
      `lora.targets: no linear layer is called ${unknown.slice(0, 5).join(', ')}; there are ${allLinear(linears).join(', ')}`,
      unknown.map((target) => ({ path: 'lora.targets', message: `unknown target ${target}` })),
    );
  }
  return linears
    .filter(({ name }) => names.some((target) => matchesTarget(name, target)))
    .map(({ name }) => ({ name, rank, scale: alpha / rank }));
}

/** Last parts of the names of all linear layers, sorted. */
function allLinear(linears: readonly LinearInfo[]): string[] {
  return [...new Set(linears.map(({ name }) => name.slice(name.lastIndexOf('.') + 1)))].sort();
}

/**
 * target_modules of adapter_config.json: what PEFT has to be told to make the same layers. In a model with other parts beside the
 * language model, whose layers have the same names (gemma3's vision tower), only whole names say which are meant.
 */
export function targetModules(linears: readonly LinearInfo[], lora: Recipe['lora']): string[] {
  if (linears.some(({ name }) => name.includes('.language_model.')))
    return resolveTargets(linears, lora).map(({ name }) => name);
  return lora.targets === 'all-linear' ? allLinear(linears) : [...new Set(lora.targets)].sort();
}
