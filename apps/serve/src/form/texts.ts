import { automatonOf, type Held, heldBy } from './automaton';
import { type Compiler } from './compile';
import { formats, freeFormats } from './formats';
import { type Node } from './node';
import { parsePattern, RegexError } from './regex';
import { counts, type Part, refuse, said } from './schema';

/** What a pattern holds a text to. */
export function heldByPattern(value: unknown, path: string): Held[] {
  if (typeof value !== 'string') refuse(path, 'must be a string');
  return explained(path, () => heldBy(parsePattern(value)));
}

const ofFormats = new Map<string, Held[]>();
/** What a format that is known holds a text to. */
function heldByFormat(format: string): Held[] | null {
  const known = ofFormats.get(format);
  if (known !== undefined || !Object.hasOwn(formats, format)) return known ?? null;
  const held = heldBy(parsePattern(formats[format] as string));
  ofFormats.set(format, held);
  return held;
}

/** What patterns and formats hold a text to; nothing: it may be any. */
export function heldByParts(parts: readonly Part[]): Held[] {
  const patterns = said(parts, 'pattern');
  const held = patterns.flatMap(({ value, path }) => heldByPattern(value, path));
  for (const { value, path } of said(parts, 'format')) {
    const format = String(value);
    const known = heldByFormat(format);
    if (known !== null) held.push(...known);
    // A pattern beside it says what a format is that is not known.
    else if (!freeFormats.has(format) && patterns.length === 0)
      refuse(path, `must be of ${[...Object.keys(formats), ...freeFormats].join(', ')}`);
  }
  return held;
}

export function compileString(compiler: Compiler, parts: readonly Part[], path: string): Node {
  const held = heldByParts(parts);
  const [min, max] = counts(parts, 'minLength', 'maxLength');
  if (held.length === 0) return compiler.add({ kind: 'string', min, max }, path);
  const at = (said(parts, 'pattern')[0] ?? said(parts, 'format')[0])?.path ?? path;
  const states = explained(at, () => automatonOf(held, min, max));
  if (states === null) refuse(at, 'is of no string');
  return compiler.add({ kind: 'pattern', states }, path);
}

/** What goes wrong with an expression, with its place. */
export function explained<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RegexError) refuse(path, error.message);
    throw error;
  }
}
