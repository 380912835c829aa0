import { LowrankError } from '@lowrank/contracts';
import { runInNewContext } from 'node:vm';

/** Milliseconds that the patterns of one recipe may take in all: backtracking can take forever, and recipes come from anyone. */
const patternMs = 1000;

/** What is left of that time. An API passes less than a trainer, whose verdict on an accepted recipe must not be stricter. */
export interface PatternTime {
  leftMs: number;
}
export const patternTime = (leftMs = patternMs): PatternTime => ({ leftMs });

const script = 'names.filter((name) => new RegExp(`^(?:${pattern})$`, "u").test(name))';

/**
 * The names that the regular expression in the recipe's field `lora.<path>` matches in full.
 * Throws LowrankError recipe_invalid when the time that is left does not suffice.
 */
export function fullMatches(
  path: string,
  pattern: string,
  names: readonly string[],
  time: PatternTime,
): string[] {
  const started = performance.now();
  try {
    const timeout = Math.max(1, Math.ceil(time.leftMs));
    // Of another realm, and so not an Array of this one.
    return Array.from(runInNewContext(script, { pattern, names: [...names] }, { timeout }) as string[]);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw cause;
    const field = `recipe.lora.${path}`;
    const message = `the pattern ${pattern} takes too long to match: write it without nested repetitions`;
    throw new LowrankError('recipe_invalid', `${field}: ${message}`, [{ path: field, message }], { cause });
  } finally {
    time.leftMs -= performance.now() - started;
  }
}
