import { LowrankError } from '@lowrank/contracts';

/* JSON schemas as they are written: what of them is known, and where it stands. */

export type Schema = Record<string, unknown>;
/** A schema that a value is to fulfil, and where it stands in the request. */
export interface Part {
  schema: Schema;
  path: string;
}

export const types = ['string', 'number', 'integer', 'boolean', 'null', 'array', 'object'] as const;
export type Type = (typeof types)[number];

/** Say nothing about values. */
const annotations = new Set([
  ...['title', 'description', 'default', 'example', 'examples', 'deprecated', 'readOnly', 'writeOnly'],
  ...['$schema', '$id', '$comment', '$defs', 'definitions', 'discriminator'],
  ...['contentEncoding', 'contentMediaType', 'contentSchema'],
]);
/** What each constrains; it has no effect on values of other types. */
const keywords: Record<string, readonly Type[]> = {
  ...{ properties: ['object'], required: ['object'], additionalProperties: ['object'] },
  ...{ patternProperties: ['object'], propertyNames: ['object'] },
  ...{ minProperties: ['object'], maxProperties: ['object'] },
  ...{ items: ['array'], prefixItems: ['array'], additionalItems: ['array'] },
  ...{ minItems: ['array'], maxItems: ['array'], uniqueItems: ['array'] },
  ...{ minLength: ['string'], maxLength: ['string'], pattern: ['string'], format: ['string'] },
  ...{ minimum: ['integer', 'number'], maximum: ['integer', 'number'] },
  ...{ exclusiveMinimum: ['integer', 'number'], exclusiveMaximum: ['integer', 'number'] },
  ...{ multipleOf: ['integer', 'number'] },
};
const combining = ['anyOf', 'oneOf', 'allOf', '$ref', 'enum', 'const', 'type', 'nullable'];

export const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `path` of a schema's part, as in the request. */
export function refuse(path: string, message: string): never {
  throw new LowrankError('validation_failed', `The schema cannot be served: ${path} ${message}.`, [
    { path, message },
  ]);
}

const isAnnotation = (keyword: string): boolean => annotations.has(keyword) || keyword.startsWith('x-');

/** A schema without what says nothing about values. Error: it has a keyword that is not known. */
export function essentials({ schema, path }: Part): Schema {
  for (const keyword of Object.keys(schema))
    if (!isAnnotation(keyword) && !combining.includes(keyword) && !Object.hasOwn(keywords, keyword))
      refuse(`${path}.${keyword}`, 'is a keyword that is not supported');
  return Object.fromEntries(Object.entries(schema).filter(([keyword]) => !isAnnotation(keyword)));
}

/** What schemas say by a keyword, and where. */
export const said = (parts: readonly Part[], keyword: string): { value: unknown; path: string }[] =>
  parts.flatMap(({ schema, path }) =>
    schema[keyword] === undefined ? [] : [{ value: schema[keyword], path: `${path}.${keyword}` }],
  );

/** Keywords that are about values of some types only. */
export const limitsIn = ({ schema }: Part): string[] =>
  Object.keys(schema).filter((keyword) => Object.hasOwn(keywords, keyword));

/** null: all. Where no schema says, those that their keywords are about: a narrower answer is one all the same. */
export function typesOf(parts: readonly Part[]): Type[] | null {
  const named = said(parts, 'type').map(({ value, path }) => {
    const list = (Array.isArray(value) ? value : [value]) as Type[];
    if (list.length === 0 || list.some((one) => !types.includes(one)))
      refuse(path, `must be of ${types.join(', ')}`);
    return list;
  });
  if (named.length === 0) {
    const about = new Set(parts.flatMap((part) => limitsIn(part).flatMap((keyword) => keywords[keyword])));
    return about.size === 0 ? null : types.filter((type) => about.has(type));
  }
  const isOf = (type: Type, list: readonly Type[]) =>
    list.includes(type) || (type === 'integer' && list.includes('number'));
  const common = types.filter((type) => named.every((list) => isOf(type, list)));
  return common.filter((type) => type !== 'integer' || !common.includes('number'));
}

export function isOfType(value: unknown, type: Type): boolean {
  if (type === 'null') return value === null;
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  return type === 'object' ? isObject(value) : typeof value === type;
}

/** The largest of what is said by one keyword and the smallest of what is said by the other. */
export function counts(parts: readonly Part[], least: string, most: string): [number, number] {
  const numbers = (keyword: string) =>
    said(parts, keyword).map(({ value, path }) =>
      typeof value === 'number' && value >= 0 && Number.isInteger(value)
        ? value
        : refuse(path, 'must be a whole number'),
    );
  const min = Math.max(0, ...numbers(least));
  const max = Math.min(Infinity, ...numbers(most));
  if (min > max) refuse(said(parts, least)[0]?.path ?? '', `is more than ${most}`);
  return [min, max];
}
