/** Fields whose keys somebody wrote, with dots in them: each is one value. */
const patterns = ['rankPattern', 'alphaPattern'];

/** The fields of a recipe, or of any nested object, by their paths: `lora.rank` → 16. Lists and patterns are values. */
export function fieldsOf(value: object, path = ''): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, inner]): [string, unknown][] => {
      const own = path === '' ? name : `${path}.${name}`;
      const isNested =
        typeof inner === 'object' && inner !== null && !Array.isArray(inner) && !patterns.includes(name);
      return isNested && Object.keys(inner as object).length > 0
        ? Object.entries(fieldsOf(inner as object, own))
        : [[own, inner]];
    }),
  );
}

export const valueText = (value: unknown): string =>
  typeof value === 'string' ? value : value === undefined ? '–' : JSON.stringify(value);

export interface Difference {
  path: string;
  /** Of each object, as text. */
  values: string[];
}

/** The fields in which objects differ. */
export function differences(objects: readonly object[]): Difference[] {
  const fields = objects.map((one) => fieldsOf(one));
  const paths = [...new Set(fields.flatMap((one) => Object.keys(one)))];
  return paths
    .map((path) => ({ path, values: fields.map((one) => valueText(one[path])) }))
    .filter(({ values }) => new Set(values).size > 1);
}

/** Sets a field by its path, in a copy. */
export function withField<T extends object>(value: T, path: string, field: unknown): T {
  const [name = '', ...rest] = path.split('.');
  const inner = (value as Record<string, unknown>)[name];
  return {
    ...value,
    [name]: rest.length === 0 ? field : withField((inner ?? {}) as object, rest.join('.'), field),
  };
}

export const fieldAt = (value: object, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>((inner, name) => (inner as Record<string, unknown> | undefined)?.[name], value);

/** The fields that differ from those of another object, nested as they were: what a request has to say beyond defaults. */
export function changesFrom(base: object, value: object): Record<string, unknown> {
  const of = fieldsOf(base);
  return Object.entries(fieldsOf(value))
    .filter(([path, field]) => JSON.stringify(of[path]) !== JSON.stringify(field))
    .reduce<Record<string, unknown>>((changes, [path, field]) => withField(changes, path, field), {});
}
