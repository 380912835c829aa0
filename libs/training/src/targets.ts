import { LowrankError, type ErrorDetail, type Recipe } from '@lowrank/contracts';
import { type AdapterSpec, type LinearInfo, type LoraTarget } from '@lowrank/kernels';
import { runInNewContext } from 'node:vm';

type Lora = Recipe['lora'];

/** Milliseconds that the patterns of a recipe may take in all: backtracking can take forever, and recipes come from anyone. */
const PATTERN_TIME = 1000;

/** Whether a name of a recipe or of adapter_config.json means this module: PEFT's rule, the whole name or its last parts. */
function meansModule(module: string, target: string): boolean {
  return module === target || module.endsWith(`.${target}`);
}

/** Which of the names match a regular expression in full. Throws LowrankError recipe_invalid when that takes too long. */
function fullMatches(pattern: string, names: readonly string[], path: string): string[] {
  try {
    const script = 'names.filter((name) => new RegExp(`^(?:${pattern})$`, "u").test(name))';
    const found = runInNewContext(
      script,
      { pattern, names: [...names] },
      { timeout: PATTERN_TIME },
    ) as string[];
    return Array.from(found);
  } catch (cause) {
    throw new LowrankError(
      'recipe_invalid',
      `lora.${path}: the pattern ${pattern} cannot be used: ${(cause as Error).message}`,
      [{ path: `recipe.lora.${path}`, message: 'cannot be used' }],
      { cause },
    );
  }
}

/** The module names that a list or a regular expression means, and the entries that mean none. */
function select(choice: string | readonly string[], names: readonly string[], path: string): Selection {
  if (typeof choice === 'string') {
    const found = fullMatches(choice, names, path);
    return { found: new Set(found), unmatched: found.length > 0 ? [] : [choice] };
  }
  return {
    found: new Set(names.filter((name) => choice.some((target) => meansModule(name, target)))),
    unmatched: choice.filter((target) => !names.some((name) => meansModule(name, target))),
  };
}
interface Selection {
  found: Set<string>;
  unmatched: string[];
}

/** Number of the decoder layer that a module lies in, by PEFT's rule: the first number in its name. */
function layerOf(name: string): number | null {
  const match = /^.*?\.[^.]*\.(\d+)\./.exec(name);
  return match === null ? null : Number(match[1]);
}

/**
 * Values of modules by name: the first pattern that matches the end of a name, from a dot on, decides, as in PEFT. A pattern
 * that matches no module, and a second for one, go to `onProblem`: the order of keys does not survive every database.
 */
export function patternValues(
  patterns: Readonly<Record<string, number>>,
  modules: readonly string[],
  path: string,
  onProblem: (problem: ErrorDetail) => void = () => undefined,
): Map<string, number> {
  const values = new Map<string, number>();
  for (const [pattern, value] of Object.entries(patterns)) {
    const found = fullMatches(`(?:.*\\.)?(?:${pattern})`, modules, path);
    if (found.length === 0) onProblem(problem(path, pattern, 'matches no adapted layer'));
    for (const name of found) {
      if (values.has(name)) onProblem(problem(path, pattern, `matches ${name}, as does a pattern before it`));
      else values.set(name, value);
    }
  }
  return values;
}

const problem = (path: string, pattern: string, message: string): ErrorDetail => ({
  path: `recipe.lora.${path}`,
  message: `${pattern} ${message}`,
});

/** Scale of an update: alpha / rank (Hu et al. 2021), with rsLoRA alpha / √rank. */
export function scaleOf(rank: number, alpha: number, rsLora: boolean): number {
  return alpha / (rsLora ? Math.sqrt(rank) : rank);
}

/**
 * The linear layers that a recipe adapts, in the base's order, with their ranks and scales: PEFT's rules.
 * Throws LowrankError recipe_invalid naming every name, pattern and layer of the recipe that means nothing in this base.
 */
export function resolveTargets(linears: readonly LinearInfo[], lora: Lora): LoraTarget[] {
  const names = linears.map(({ name }) => name);
  const wanted = select(lora.targets === 'all-linear' ? names : lora.targets, names, 'targets');
  const excluded = select(lora.exclude, names, 'exclude');
  const layers = lora.layers === null ? null : new Set(lora.layers);
  const chosen = names.filter((name) => {
    const layer = layerOf(name);
    const inLayers = layers === null || (layer !== null && layers.has(layer));
    return inLayers && wanted.found.has(name) && !excluded.found.has(name);
  });
  const patternProblems: ErrorDetail[] = [];
  const collect = (found: ErrorDetail) => void patternProblems.push(found);
  const ranks = patternValues(lora.rankPattern, chosen, 'rankPattern', collect);
  const alphas = patternValues(lora.alphaPattern, chosen, 'alphaPattern', collect);
  const known = new Set(names.map(layerOf));
  const problems = [
    ...wanted.unmatched.map((name) => problem('targets', name, 'is no linear layer of this base')),
    ...excluded.unmatched.map((name) => problem('exclude', name, 'is no linear layer of this base')),
    ...(lora.layers ?? [])
      .filter((layer) => !known.has(layer))
      .map((layer) => problem('layers', String(layer), 'is no layer of this base')),
    ...patternProblems,
  ];
  if (problems.length === 0 && chosen.length === 0)
    problems.push(
      problem('targets', String(lora.targets), 'leaves nothing to adapt once exclude and layers are applied'),
    );
  if (problems.length > 0)
    throw new LowrankError(
      'recipe_invalid',
      `${problems
        .slice(0, 5)
        .map(({ path, message }) => `${path}: ${message}`)
        .join('; ')}; the linear layers of this base are ${lastParts(names).join(', ')}`,
      problems,
    );
  return chosen.map((name) => {
    const rank = ranks.get(name) ?? lora.rank;
    return { name, rank, scale: scaleOf(rank, alphas.get(name) ?? lora.alpha, lora.rsLora), dora: lora.dora };
  });
}

/** The adapter that a recipe asks for on a base. Throws LowrankError recipe_invalid as resolveTargets, or without any bias to train. */
export function adapterSpec(
  linears: readonly LinearInfo[],
  { lora, training, optimizer }: Recipe,
): AdapterSpec {
  const targets = resolveTargets(linears, lora);
  const chosen = new Set(targets.map(({ name }) => name));
  if (
    lora.bias !== 'none' &&
    !linears.some(({ name, bias }) => bias && (lora.bias === 'all' || chosen.has(name)))
  )
    throw new LowrankError('recipe_invalid', `lora.bias: ${lora.bias} means no bias: the layers have none`, [
      { path: 'recipe.lora.bias', message: 'the layers have no biases' },
    ]);
  return {
    targets,
    dropout: lora.dropout,
    bias: lora.bias,
    optimizer: optimizer.name,
    init: lora.init === 'pissa' ? { pissa: { iterations: lora.initIterations } } : 'default',
    seed: BigInt(training.seed),
  };
}

/** Last parts of module names, sorted. */
function lastParts(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => name.slice(name.lastIndexOf('.') + 1)))].sort();
}

/**
 * target_modules of adapter_config.json: what PEFT has to be told to make the same layers. In a model with other parts beside the
 * language model, whose layers have the same names (gemma3's vision tower), only whole names say which are meant.
 */
export function targetModules(linears: readonly LinearInfo[], lora: Lora): string | string[] {
  if (linears.some(({ name }) => name.includes('.language_model.')))
    return resolveTargets(linears, lora).map(({ name }) => name);
  if (lora.targets === 'all-linear') return lastParts(linears.map(({ name }) => name));
  return typeof lora.targets === 'string' ? lora.targets : [...new Set(lora.targets)].sort();
}
