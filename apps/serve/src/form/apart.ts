import { isDeepStrictEqual } from 'node:util';

type Schema = Record<string, unknown>;

const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const typeOf = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;

/** The values that a schema names; null: it names none. */
function valuesOf(schema: unknown): readonly unknown[] | null {
  if (!isObject(schema)) return null;
  const { const: one, enum: some, nullable } = schema;
  const values = one === undefined ? some : [one];
  if (!Array.isArray(values)) return null;
  return nullable === true ? [...(values as unknown[]), null] : values;
}

/** Types of JSON, whole numbers being numbers; null: it says nothing of them. */
function typesOf(schema: Schema): readonly string[] | null {
  const values = valuesOf(schema);
  if (values !== null) return values.map(typeOf);
  const { type } = schema;
  if (type === undefined) return null;
  const named = (Array.isArray(type) ? type : [type]) as string[];
  const types = named.map((one) => (one === 'integer' ? 'number' : one));
  return schema['nullable'] === true ? [...types, 'null'] : types;
}

const haveNone = <T>(a: readonly T[] | null, b: readonly T[] | null): boolean =>
  a !== null && b !== null && !a.some((one) => b.some((other) => isDeepStrictEqual(one, other)));

/** Whether no value is of both schemas, as far as their types, consts and enums tell, or those of a property that both require. */
export function areApart(a: Schema, b: Schema): boolean {
  if (haveNone(typesOf(a), typesOf(b)) || haveNone(valuesOf(a), valuesOf(b))) return true;
  const required = ({ required: names }: Schema): unknown[] => (Array.isArray(names) ? names : []);
  const property = ({ properties }: Schema, name: string) =>
    isObject(properties) ? valuesOf(properties[name]) : null;
  return (
    isDeepStrictEqual(typesOf(a), ['object']) &&
    isDeepStrictEqual(typesOf(b), ['object']) &&
    required(a).some(
      (name) =>
        typeof name === 'string' &&
        required(b).includes(name) &&
        haveNone(property(a, name), property(b, name)),
    )
  );
}
