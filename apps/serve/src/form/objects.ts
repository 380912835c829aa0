import { automatonOf, type Held, heldBy, heldTo, isHeld } from './automaton';
import { type Compiler } from './compile';
import { type Node, type ObjectNode, type PatternNode, type Property } from './node';
import { parsePattern } from './regex';
import { counts, isObject, type Part, refuse, said, typesOf } from './schema';
import { explained, heldByParts, heldByPattern } from './texts';

/** Every combination of them is a kind of names. */
const mostPatterns = 4;

/** Properties whose names a pattern is found in. */
interface Named {
  held: Held;
  part: Part;
}

/** What one schema says of properties by their names. */
class Properties {
  readonly patterns: readonly Named[];
  /** Of those that none of `patterns` is about; null: anything. */
  readonly additional: Part | null;
  private readonly own: Record<string, Part>;

  constructor({ schema, path }: Part) {
    const { properties = {}, patternProperties = {}, additionalProperties } = schema;
    const partsOf = (value: unknown, keyword: string) => {
      if (!isObject(value)) refuse(`${path}.${keyword}`, 'must be an object');
      return Object.entries(value).map(([name, one]): [string, Part] => [
        name,
        { schema: one as Part['schema'], path: `${path}.${keyword}.${name}` },
      ]);
    };
    this.own = Object.fromEntries(partsOf(properties, 'properties'));
    this.patterns = partsOf(patternProperties, 'patternProperties').map(([pattern, part]) => ({
      held: explained(part.path, () => oneOf(heldByPattern(pattern, part.path))),
      part,
    }));
    this.additional =
      additionalProperties === undefined
        ? null
        : { schema: additionalProperties as Part['schema'], path: `${path}.additionalProperties` };
  }

  get names(): string[] {
    return Object.keys(this.own);
  }

  /** What it says of a property. */
  of(name: string): Part[] {
    const own = Object.hasOwn(this.own, name) ? (this.own[name] as Part) : null;
    const matching = this.patterns.filter(({ held }) => isHeld(held, name));
    return this.about(own, matching);
  }

  about(own: Part | null, matching: readonly Named[]): Part[] {
    const parts = [...(own === null ? [] : [own]), ...matching.map(({ part }) => part)];
    return parts.length > 0 || this.additional === null ? parts : [this.additional];
  }
}

/** What several hold a text to, as one. */
function oneOf(held: readonly Held[]): Held {
  return { states: automatonOf(held, 0, Infinity) ?? [{ accepts: false, edges: [] }], negated: false };
}

/** Names of characters that automata know. */
const written = heldBy(parsePattern(''));

const isNone = ({ schema }: { schema: unknown }): boolean => schema === false;

/** An object of all parts. */
export function compileObject(
  compiler: Compiler,
  parts: readonly Part[],
  path: string,
  nesting: number,
): Node {
  const all = parts.map((part) => new Properties(part));
  const of = (name: string) => all.flatMap((one) => one.of(name));
  const names = heldNames(compiler, parts, nesting);
  const isName = (name: string) => names.every((held) => isHeld(held, name));
  const required = requiredOf(parts);
  const told = [...new Set([...all.flatMap((one) => one.names), ...required.keys()])];
  if (names.length > 0 || all.some((one) => one.patterns.length > 0))
    for (const name of told)
      if (!written.every((held) => isHeld(held, name)))
        refuse(path, `has ${JSON.stringify(name)}, which is not compared with patterns`);
  const properties: Property[] = [];
  for (const name of told) {
    const at = required.get(name);
    const about = of(name);
    if (!isName(name) || about.some(isNone)) {
      if (at !== undefined) refuse(at, `has '${name}', which is no property`);
      continue;
    }
    properties.push({ name, required: at !== undefined, value: compiler.node(about, nesting + 1) });
  }
  const untold = { ...heldTo(told), negated: true };
  const others = otherProperties(compiler, all, [...names, untold], path, nesting);
  const [min, max] = counts(parts, 'minProperties', 'maxProperties');
  if (required.size > max) refuse(path, `requires ${required.size} properties, and has ${max} at most`);
  const most = properties.length + Math.min(1, others.length);
  if (min > most)
    refuse(said(parts, 'minProperties')[0]?.path ?? path, `is more than this server takes here: ${most}`);
  return compiler.add({ kind: 'object', properties, others, min, max }, path);
}

/** Names that have to be there, and where that is said. */
function requiredOf(parts: readonly Part[]): Map<string, string> {
  const required = new Map<string, string>();
  for (const { value, path } of said(parts, 'required')) {
    if (!Array.isArray(value) || value.some((name) => typeof name !== 'string'))
      refuse(path, 'must be a list of names');
    for (const name of value as string[]) required.set(name, path);
  }
  return required;
}

/** What names of properties have to be. */
function heldNames(compiler: Compiler, parts: readonly Part[], nesting: number): Held[] {
  return said(parts, 'propertyNames').flatMap(({ value, path }) => {
    const about = compiler.resolved([{ schema: value as Part['schema'], path }], nesting);
    if (typesOf(about)?.includes('string') === false) refuse(path, 'is of no name');
    const named = compiler.named(about)?.filter((one) => typeof one === 'string');
    const [min, max] = counts(about, 'minLength', 'maxLength');
    const states = explained(path, () =>
      automatonOf([...heldByParts(about), ...(named === undefined ? [] : [heldTo(named)])], min, max),
    );
    if (states === null) refuse(path, 'is of no name');
    return [{ states, negated: false }];
  });
}

/** Properties that are not named, by which of the patterns are found in their names. */
function otherProperties(
  compiler: Compiler,
  all: readonly Properties[],
  names: readonly Held[],
  path: string,
  nesting: number,
): ObjectNode['others'] {
  const patterns = all.flatMap((one) => one.patterns);
  if (patterns.length > mostPatterns)
    refuse(`${path}.patternProperties`, `has more than ${mostPatterns} patterns`);
  // A schema that says nothing of others, but of some, is taken to mean these alone.
  const isClosed =
    all.every(({ additional }) => additional === null) &&
    (patterns.length > 0 || all.some((one) => one.names.length > 0));
  return Array.from({ length: 2 ** patterns.length }, (_, kind) => kind).flatMap((kind) => {
    const matching = patterns.filter((_pattern, i) => kind & (1 << i));
    const about = all.flatMap((one) =>
      one.about(
        null,
        one.patterns.filter((pattern) => matching.includes(pattern)),
      ),
    );
    if ((kind === 0 && isClosed) || about.some(isNone)) return [];
    const states = explained(path, () =>
      automatonOf(
        [...names, ...patterns.map(({ held }, i) => ({ ...held, negated: (kind & (1 << i)) === 0 }))],
        0,
        Infinity,
      ),
    );
    if (states === null) return [];
    const name = compiler.add<PatternNode>({ kind: 'pattern', states }, path);
    return [{ name, value: compiler.node(about, nesting + 1) }];
  });
}
