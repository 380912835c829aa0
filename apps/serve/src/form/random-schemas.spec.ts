import { LowrankError } from '@lowrank/contracts';
import Ajv2020 from 'ajv/dist/2020';
import { draw, machineOf, numbers, takes } from '../test/machines';

type Schema = Record<string, unknown>;

const next = numbers(23);
const below = (count: number): number => Math.floor(next() * count);
const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;
const some = <T>(of: () => T, most: number): T[] => Array.from({ length: 1 + below(most) }, of);
const maybe = (fields: () => Schema): Schema => (next() < 0.5 ? fields() : {});
const names = ['a', 'ab', 'b"', 'é', 'kind'];

const scalars: (() => Schema)[] = [
  () => ({
    type: 'string',
    ...maybe(() => ({ minLength: below(3) })),
    ...maybe(() => ({ maxLength: 3 + below(3) })),
  }),
  () => ({ type: 'string', pattern: pick(['^[ab]{1,3}$', '^(a|b.?)$', '^\\d+(\\.\\d)?$', '^.é?$']) }),
  () => ({
    type: 'integer',
    minimum: below(20) - 15,
    ...maybe(() => ({ exclusiveMaximum: 8 + below(200) })),
  }),
  () => ({
    type: 'number',
    exclusiveMinimum: below(40) / 8 - 3,
    ...maybe(() => ({ maximum: 3 + below(99) / 10 })),
  }),
  () => ({ type: pick(['integer', 'number']), multipleOf: pick([3, 0.5, 0.25, 20]), minimum: below(9) - 5 }),
  () => ({ type: 'string', pattern: pick(['^(?!ab)[ab]+$', '^(?=.*b)(?!b).{2,3}$']), minLength: below(3) }),
  () => ({ enum: ['a', 'ab', 'b"', 'éa', 3], minLength: 2, ...maybe(() => ({ pattern: 'a' })) }),
  () => ({ type: pick(['boolean', 'null', 'number', ['string', 'null']]) }),
  () => ({ enum: [1, 'a', null, { a: [1] }, 'b"'].slice(0, 1 + below(5)) }),
  () => ({ const: pick([0, -1.5, 'é', [], { kind: 'a' }]) }),
];

function object(depth: number): Schema {
  const properties = Object.fromEntries(some(() => [pick(names), schema(depth - 1)], 3));
  return {
    ...{ type: 'object', properties, required: Object.keys(properties).filter(() => next() < 0.5) },
    additionalProperties: pick([false, false, true, schema(depth - 1)]),
    ...maybe(() => ({
      patternProperties: Object.fromEntries(some(() => [pick(['^b', '^a', '^."?$']), schema(depth - 1)], 2)),
    })),
    ...(next() < 0.3
      ? { propertyNames: pick([{ maxLength: 2 }, { enum: ['a', 'ab', 'x'] }, { pattern: '^[ak]' }]) }
      : {}),
    ...(next() < 0.3 ? { minProperties: 1, maxProperties: 2 + below(2) } : {}),
  };
}

/** A schema of what is served, drawn at random. */
function schema(depth: number): Schema {
  if (depth <= 0 || next() < 0.3) return pick(scalars)();
  const deeper = () => schema(depth - 1);
  return pick<() => Schema>([
    () => object(depth),
    () => ({
      type: 'array',
      items: deeper(),
      minItems: below(2),
      ...maybe(() => ({ maxItems: 1 + below(3) })),
    }),
    () => ({
      type: 'array',
      prefixItems: some(deeper, 2),
      ...maybe(() => ({ items: pick([false, deeper()]) })),
      ...maybe(() => ({ minItems: 1 + below(2) })),
    }),
    () => ({ type: 'array', items: { enum: ['a', 1, 'ab', null] }, uniqueItems: true, minItems: below(3) }),
    () => ({ anyOf: some(deeper, 3) }),
    () => ({ ...object(depth), anyOf: some(() => ({ required: [pick(names)] }), 2) }),
    () => ({ allOf: [object(depth), { anyOf: [object(depth), { type: 'array' }] }] }),
    () => ({ allOf: some(() => pick(scalars)(), 2) }),
    () => ({
      oneOf: [object(depth), { type: 'array', items: deeper() }, { type: 'string' }, pick(scalars)()],
    }),
    () => ({
      oneOf: ['x', 'y'].map((kind) => {
        const { properties, required, ...rest } = object(depth) as { properties: Schema; required: string[] };
        return {
          ...rest,
          properties: { ...properties, kind: { const: kind } },
          required: [...new Set([...required, 'kind'])],
        };
      }),
    }),
  ])();
}

/** Any value that such a schema may be about. */
function value(depth: number): unknown {
  if (depth <= 0 || next() < 0.5)
    return pick<unknown>(['', 'a', 'ab', '3.5', 'éa', null, true, 0, -1.5, 7, 12.25, [], {}]);
  if (next() < 0.4) return some(() => value(depth - 1), 3);
  return Object.fromEntries(some(() => [pick(names), value(depth - 1)], 3));
}

it('writes only values of a schema, and takes no others, whatever the schema', () => {
  const met = { refused: 0, taken: 0, left: 0 };
  for (let i = 0; i < 200; i += 1) {
    const one = schema(3);
    let machine;
    try {
      machine = machineOf(one);
    } catch (error) {
      // Alternatives that cannot be told apart, or that have no value.
      if (!(error instanceof LowrankError)) throw error;
      met.refused += 1;
      continue;
    }
    const ajv = new Ajv2020({ allowUnionTypes: true, strict: false });
    const isValid = ajv.compile(one);
    for (let k = 0; k < 3; k += 1) {
      const text = draw(machine, next);
      expect([one, text, isValid(JSON.parse(text))]).toEqual([one, text, true]);
    }
    for (let k = 0; k < 40; k += 1) {
      const text = JSON.stringify(value(3));
      if (!takes(machine, text)) {
        met.left += 1;
        continue;
      }
      met.taken += 1;
      expect([one, text, isValid(JSON.parse(text))]).toEqual([one, text, true]);
    }
  }
  expect(met.refused).toBeLessThan(120);
  expect(Math.min(met.taken, met.left)).toBeGreaterThan(80);
});
