import { isDeepStrictEqual } from 'node:util';
import { type Compiler } from './compile';
import { type Node } from './node';
import { counts, type Part, refuse, said, typesOf } from './schema';

/** What one schema says of the first items and of those after them; in earlier drafts a list of `items` are the first. */
function tupleOf({ schema, path }: Part): { prefix: Part[]; rest: Part[] } {
  const { items, prefixItems, additionalItems } = schema;
  const at = (keyword: string) => [{ schema: schema[keyword], path: `${path}.${keyword}` } as Part];
  const isEarlier = Array.isArray(items);
  const keyword = isEarlier ? 'items' : 'prefixItems';
  const first = isEarlier ? items : (prefixItems ?? []);
  if (!Array.isArray(first)) refuse(`${path}.prefixItems`, 'must be a list of schemas');
  if (isEarlier && prefixItems !== undefined)
    refuse(`${path}.prefixItems`, 'beside a list of items is not supported');
  if (!isEarlier && additionalItems !== undefined)
    refuse(`${path}.additionalItems`, 'without a list of items is not supported');
  const others = isEarlier ? 'additionalItems' : 'items';
  return {
    prefix: first.map((one: Part['schema'], i) => ({ schema: one, path: `${path}.${keyword}.${i}` })),
    rest: schema[others] === undefined ? [] : at(others),
  };
}

export function compileArray(
  compiler: Compiler,
  parts: readonly Part[],
  path: string,
  nesting: number,
): Node {
  const tuples = parts.map(tupleOf);
  const length = Math.max(0, ...tuples.map(({ prefix }) => prefix.length));
  const rest = tuples.flatMap((tuple) => tuple.rest);
  const isClosed = length > 0 && rest.every(({ schema }: { schema: unknown }) => schema === false);
  const [least, most] = counts(parts, 'minItems', 'maxItems');
  // A schema that says what the first items are, and no more, is taken to mean all these alone.
  const max = isClosed ? Math.min(most, length) : most;
  const min = isClosed && said(parts, 'minItems').length === 0 ? max : least;
  if (min > max) refuse(path, `has ${min} items at least, and ${max} at most`);
  const unique = said(parts, 'uniqueItems').find(({ value }) => value === true);
  if (unique !== undefined && max > 1) {
    if (length > 0) refuse(unique.path, 'beside a list of items is not supported');
    return distinct(compiler, compiler.resolved(rest, nesting), [min, max], unique.path);
  }
  const prefix = Array.from({ length }, (_, i) =>
    compiler.node(
      tuples.flatMap((tuple) => tuple.prefix[i] ?? tuple.rest),
      nesting + 1,
    ),
  );
  const items = compiler.node(isClosed ? [] : rest, nesting + 1);
  return compiler.add({ kind: 'array', prefix, items, min, max, once: null }, path);
}

/** Items that come once each. Which have come is told of values that are named only: of others there is no end. */
function distinct(
  compiler: Compiler,
  parts: readonly Part[],
  [min, max]: [number, number],
  path: string,
): Node {
  const asked = typesOf(parts);
  const values = asked?.join() === 'boolean' ? [true, false] : compiler.named(parts);
  if (values === null) refuse(path, 'is supported of items of an enum only');
  const isSame = (a: unknown, b: unknown) =>
    isDeepStrictEqual(a, b) || JSON.stringify(a) === JSON.stringify(b);
  const fitting = compiler
    .fitting(values, parts, asked)
    .filter((value, i, all) => all.findIndex((other) => isSame(other, value)) === i);
  if (min > fitting.length) refuse(path, `leaves ${fitting.length} items at most`);
  const items = compiler.literal(fitting, path);
  const count = Math.min(max, fitting.length);
  return compiler.add({ kind: 'array', prefix: [], items, min, max: count, once: items.texts }, path);
}
