import {
  type Decoder,
  type ErrorDetail,
  linearLayers,
  type LinearLayer,
  LowrankError,
  type Recipe,
} from '@lowrank/contracts';
import { fullMatches, patternTime, type PatternTime } from './patterns';

type Lora = Recipe['lora'];

/** A linear layer that a recipe adapts. */
export interface AdapterTarget {
  name: string;
  rank: number;
  /** What the update is multiplied by. */
  scale: number;
  dora: boolean;
}

/** The layers that a recipe adapts, and what is wrong with its choice: then nothing is to be trained by it. */
export interface ChosenTargets {
  targets: AdapterTarget[];
  problems: ErrorDetail[];
}

/** Scale of an update: alpha / rank (Hu et al. 2021), with rsLoRA alpha / √rank. */
export function scaleOf(rank: number, alpha: number, rsLora: boolean): number {
  return alpha / (rsLora ? Math.sqrt(rank) : rank);
}

const problem = (path: string, message: string): ErrorDetail => ({ path: `recipe.lora.${path}`, message });

/** Whether a name of a recipe or of adapter_config.json means this module: PEFT's rule, the whole name or its last parts. */
function meansModule(module: string, target: string): boolean {
  return module === target || module.endsWith(`.${target}`);
}

/** Last parts of module names, sorted. */
export function lastParts(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => name.slice(name.lastIndexOf('.') + 1)))].sort();
}

/** Number of the decoder layer that a module lies in, by PEFT's rule: the first number in its name. */
function layerOf(name: string): number | null {
  const match = /^.*?\.[^.]*\.(\d+)\./.exec(name);
  return match === null ? null : Number(match[1]);
}

/** The modules that a list or a regular expression means; entries that mean none are problems. */
function select(
  path: 'targets' | 'exclude',
  choice: string | readonly string[],
  names: readonly string[],
  time: PatternTime,
  problems: ErrorDetail[],
): Set<string> {
  const known = `is no linear layer of this base model; they are ${lastParts(names).join(', ')}`;
  if (typeof choice === 'string') {
    const found = fullMatches(path, choice, names, time);
    if (found.length === 0) problems.push(problem(path, `${choice} matches none: it ${known}`));
    return new Set(found);
  }
  const selected = new Set<string>();
  for (const [index, target] of choice.entries()) {
    const found = names.filter((name) => meansModule(name, target));
    if (found.length === 0) problems.push(problem(`${path}.${index}`, `${target} ${known}`));
    for (const name of found) selected.add(name);
  }
  return selected;
}

/**
 * Values of modules by name: the first pattern that matches the end of a name, from a dot on, decides, as in PEFT. A pattern that
 * matches no module, and a second for one, are problems: the order of keys does not survive every database.
 */
export function patternValues(
  path: 'rankPattern' | 'alphaPattern',
  patterns: Readonly<Record<string, number>>,
  modules: readonly string[],
  time: PatternTime = patternTime(),
  problems: ErrorDetail[] = [],
): Map<string, number> {
  const values = new Map<string, number>();
  for (const [pattern, value] of Object.entries(patterns)) {
    const found = fullMatches(path, `(?:.*\\.)?(?:${pattern})`, modules, time);
    if (found.length === 0) problems.push(problem(path, `${pattern} matches no adapted layer`));
    const twice = found.find((name) => values.has(name));
    if (twice !== undefined)
      problems.push(problem(path, `${pattern} matches ${twice}, as does a pattern before it`));
    for (const name of found) if (!values.has(name)) values.set(name, value);
  }
  return values;
}

/** PiSSA finds as many singular vectors as the rank, so that the weight has to have them. */
function* pissaProblems(
  { init }: Lora,
  targets: readonly AdapterTarget[],
  sizeOf: ReadonlyMap<string, LinearLayer>,
): Generator<ErrorDetail> {
  if (init !== 'pissa') return;
  const beyond = targets.find(({ name, rank }) => {
    const linear = sizeOf.get(name) as LinearLayer;
    return rank > Math.min(linear.in, linear.out);
  });
  if (beyond !== undefined)
    yield problem(
      'rank',
      `${beyond.rank} is more than ${beyond.name} has singular values, which PiSSA takes`,
    );
}

function* biasProblems(
  { bias }: Lora,
  targets: readonly AdapterTarget[],
  linears: readonly LinearLayer[],
): Generator<ErrorDetail> {
  const adapted = new Set(targets.map(({ name }) => name));
  const trained = linears.some((linear) => linear.bias && (bias === 'all' || adapted.has(linear.name)));
  if (bias !== 'none' && !trained)
    yield problem('bias', `'${bias}' means no bias: the layers of this base model have none`);
}

/**
 * The linear layers that a recipe adapts, in the base model's order, with their ranks and scales: PEFT's rules.
 * Throws LowrankError recipe_invalid for a pattern that takes too long, after which nothing else can be said.
 */
export function chooseTargets(
  linears: readonly LinearLayer[],
  lora: Lora,
  time: PatternTime = patternTime(),
): ChosenTargets {
  const names = linears.map(({ name }) => name);
  const problems: ErrorDetail[] = [];
  const wanted =
    lora.targets === 'all-linear' ? new Set(names) : select('targets', lora.targets, names, time, problems);
  const excluded = select('exclude', lora.exclude, names, time, problems);
  const known = new Set(names.map(layerOf));
  for (const [index, layer] of (lora.layers ?? []).entries())
    if (!known.has(layer))
      problems.push(problem(`layers.${index}`, `${layer} is no layer of this base model`));

  const layers = lora.layers === null ? null : new Set<number | null>(lora.layers);
  const chosen = names.filter(
    (name) => wanted.has(name) && !excluded.has(name) && (layers === null || layers.has(layerOf(name))),
  );
  if (problems.length === 0 && chosen.length === 0)
    problems.push(problem('targets', 'nothing is left to adapt once exclude and layers are applied'));
  // What patterns would match of a wrong choice says nothing.
  if (problems.length > 0) return { targets: [], problems };

  const ranks = patternValues('rankPattern', lora.rankPattern, chosen, time, problems);
  const alphas = patternValues('alphaPattern', lora.alphaPattern, chosen, time, problems);
  const targets = chosen.map((name) => {
    const rank = ranks.get(name) ?? lora.rank;
    return { name, rank, scale: scaleOf(rank, alphas.get(name) ?? lora.alpha, lora.rsLora), dora: lora.dora };
  });
  const sizeOf = new Map(linears.map((linear) => [linear.name, linear]));
  problems.push(...pissaProblems(lora, targets, sizeOf), ...biasProblems(lora, targets, linears));
  return { targets, problems };
}

const known = new WeakMap<Lora, { decoder: Decoder; targets: AdapterTarget[] }>();

/** The layers that a checked recipe adapts. Patterns may be slow: what has been found for a recipe is kept as long as that is. */
export function targetsOf(decoder: Decoder, lora: Lora): AdapterTarget[] {
  const found = known.get(lora);
  if (found?.decoder === decoder) return found.targets;
  const { targets } = chooseTargets(linearLayers(decoder), lora);
  known.set(lora, { decoder, targets });
  return targets;
}

/** Details in words, the first few of them. */
export const describeProblems = (problems: readonly ErrorDetail[]): string =>
  problems
    .slice(0, 5)
    .map(({ path, message }) => `${path}: ${message}`)
    .join('; ');

/** chooseTargets; throws LowrankError recipe_invalid with every problem in its details. */
export function resolveTargets(linears: readonly LinearLayer[], lora: Lora): AdapterTarget[] {
  const { targets, problems } = chooseTargets(linears, lora);
  if (problems.length > 0) throw new LowrankError('recipe_invalid', describeProblems(problems), problems);
  return targets;
}
