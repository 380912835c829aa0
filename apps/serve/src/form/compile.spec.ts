import { LowrankError } from '@lowrank/contracts';
import Ajv2020 from 'ajv/dist/2020';
import { z } from 'zod';
import { draw, machineOf, numbers } from '../test/machines';
import { compileSchema } from './compile';

const refusal = (schema: Record<string, unknown>): string => {
  try {
    compileSchema(schema, 'schema');
  } catch (error) {
    if (error instanceof LowrankError && error.code === 'validation_failed') return error.message;
    throw error;
  }
  return 'none';
};
/** Whether all of some values that are drawn are such. */
function draws(schema: Record<string, unknown>, count: number, isGood: (value: unknown) => boolean): boolean {
  const machine = machineOf(schema);
  const next = numbers(5);
  return Array.from({ length: count }, () => JSON.parse(draw(machine, next)) as unknown).every(isGood);
}
const inProperty = (schema: unknown) => ({ type: 'object', properties: { a: schema } });

it.each([
  [inProperty({ not: {} }), 'schema.properties.a.not is a keyword that is not supported'],
  [{ allOf: [{}, { contains: {} }] }, 'schema.allOf.1.contains is a keyword that is not supported'],
  [{ multipleOf: 0 }, 'schema.multipleOf must be a number above 0'],
  [{ multipleOf: 1e-13 }, 'schema.multipleOf has more than 12 digits after the point'],
  [{ allOf: [{ multipleOf: 2 }, { multipleOf: 3 }] }, 'schema.allOf.1.multipleOf beside another'],
  [{ type: 'integer', multipleOf: 7, minimum: 8, maximum: 13 }, 'has no integer of 15 digits between'],
  [{ pattern: '(?=a)' }, 'schema.pattern has a look around'],
  [{ pattern: '^a(?!b)' }, 'schema.pattern has a look around'],
  [{ pattern: '^(?!a)b|c' }, 'schema.pattern has a look around in one of several alternatives'],
  [{ pattern: '^(?=a' }, "schema.pattern has '(' without its other half"],
  [{ pattern: '^(?!a)a' }, 'schema.pattern is of no string'],
  [{ pattern: '\\bfoo' }, 'schema.pattern has \\b'],
  [{ pattern: '(a)\\1' }, 'schema.pattern has a reference to a group'],
  [{ pattern: 'a{3' }, 'schema.pattern has a { that counts nothing'],
  [{ pattern: 'x$y' }, 'schema.pattern has $ elsewhere than at an end'],
  [{ pattern: '(a' }, "schema.pattern has '(' without its other half"],
  [{ pattern: 'a)' }, "schema.pattern has ')' without its other half"],
  [{ pattern: '\\p{L}' }, 'schema.pattern has \\p'],
  [{ pattern: '^(?:a{1000}){1000}$' }, 'schema.pattern is larger than this server takes'],
  [{ pattern: '^a$', minLength: 2 }, 'schema.pattern is of no string'],
  [{ pattern: 1 }, 'schema.pattern must be a string'],
  [{ pattern: 'a', format: 'date' }, 'schema.pattern is of no string'],
  [{ pattern: 'a', format: 'iri' }, 'none'],
  [
    inProperty({ type: 'string', format: 'iri' }),
    'schema.properties.a.format must be of date, time, date-time',
  ],
  [
    { oneOf: [{ type: 'integer' }, { type: 'number' }] },
    'schema.oneOf.1 is not told from another by its type',
  ],
  [{ oneOf: [{ const: 1 }, { enum: [2, 1] }] }, 'schema.oneOf.1 is not told from another'],
  [
    { oneOf: [inProperty({ const: 1 }), inProperty({ const: 2 })] },
    'schema.oneOf.1 is not told from another',
  ],
  [{ oneOf: [{ type: 'string' }, { const: 1 }] }, 'none'],
  [inProperty({ type: 'text' }), 'schema.properties.a.type must be of string, number'],
  [inProperty(1), 'schema.properties.a must be an object'],
  [inProperty(false), 'none'],
  [{ ...inProperty(false), required: ['a'] }, "schema.required has 'a', which is no property"],
  [{ type: 'number', minimum: '1' }, 'schema.minimum must be a number'],
  [{ type: 'number', minimum: 1e300 }, 'schema has no number of 15 digits between its limits'],
  [{ type: 'number', minimum: -1e300, maximum: 1e300 }, 'none'],
  [
    { type: 'number', exclusiveMinimum: 1, maximum: 1 },
    'schema has no number of 15 digits between its limits',
  ],
  [{ type: 'integer', minimum: 2, maximum: 1 }, 'has no integer of 15 digits between its limits'],
  [{ type: 'string', minLength: -1 }, 'schema.minLength must be a whole number'],
  [{ type: 'array', minItems: 3, maxItems: 2 }, 'schema.minItems is more than maxItems'],
  [{ prefixItems: [{}], minItems: 2 }, 'schema has 2 items at least, and 1 at most'],
  [{ prefixItems: {} }, 'schema.prefixItems must be a list of schemas'],
  [{ items: [{}], prefixItems: [{}] }, 'schema.prefixItems beside a list of items'],
  [{ items: {}, additionalItems: {} }, 'schema.additionalItems without a list of items'],
  [
    { items: { type: 'string' }, uniqueItems: true },
    'schema.uniqueItems is supported of items of an enum only',
  ],
  [{ items: { type: 'string' }, uniqueItems: false }, 'none'],
  [{ items: { enum: [1, 2] }, uniqueItems: true, minItems: 3 }, 'schema.uniqueItems leaves 2 items at most'],
  [{ items: { anyOf: [{}] }, uniqueItems: true }, 'schema.items.anyOf is not supported here'],
  [{ type: 'object', minProperties: 2 }, 'schema.minProperties is more than this server takes here: 1'],
  [{ required: ['a', 'b'], maxProperties: 1 }, 'schema requires 2 properties, and has 1 at most'],
  [{ patternProperties: { '(': {} } }, "schema.patternProperties.( has '(' without its other half"],
  [
    { patternProperties: Object.fromEntries([...'abcde'].map((name) => [name, {}])) },
    'schema.patternProperties has more than 4 patterns',
  ],
  [{ propertyNames: { type: 'integer' } }, 'schema.propertyNames is of no name'],
  [{ propertyNames: { pattern: '^a$', minLength: 2 } }, 'schema.propertyNames is of no name'],
  [{ propertyNames: { pattern: '^a$' }, required: ['b'] }, "schema.required has 'b', which is no property"],
  [{ type: 'object', required: ['a'], additionalProperties: false }, "schema.required has 'a'"],
  [{ enum: [] }, 'schema.enum must be a list of values'],
  [{ type: 'string', enum: [1] }, 'schema.enum has no value that the rest allows'],
  [{ enum: ['a', 'b'], pattern: 'c' }, 'schema.enum has no value that the rest allows'],
  [{ allOf: [{ const: 1 }, { enum: [2, 3] }] }, 'has no value that the rest allows'],
  [{ allOf: [{ type: 'string' }, { type: 'integer' }] }, 'has no value that ends'],
  [
    { allOf: Array.from({ length: 9 }, () => ({ anyOf: Array.from({ length: 9 }, () => ({})) })) },
    'is more than this server takes: 5000 parts',
  ],
  [
    { properties: { 'a\u0001': {} }, patternProperties: { '^a': { type: 'null' } } },
    'which is not compared with patterns',
  ],
  [{ items: { enum: [0, -0, { a: 1 }, { a: 1 }] }, uniqueItems: true, minItems: 3 }, 'leaves 2 items'],
  [{ allOf: {} }, 'schema.allOf must be a list of schemas'],
  [{ $defs: { a: { $ref: '#/$defs/a', type: 'string' } }, $ref: '#/$defs/a' }, 'nested deeper'],
  [{ $ref: '#/%' }, 'schema.$ref leads nowhere'],
  [{ anyOf: Array.from({ length: 65 }, () => ({})) }, 'more than 64 alternatives'],
  [{ $ref: 'https://other' }, 'schema.$ref must lead into the schema itself'],
  [{ $ref: '#/$defs/none' }, 'schema.$ref leads nowhere'],
  [{ $ref: '#/$defs/__proto__' }, 'schema.$ref leads nowhere'],
  [{ $ref: '#' }, 'has no value that ends'],
  [{ $defs: { a: inProperty({ $ref: '#/$defs/a' }) }, $ref: '#/$defs/a' }, 'none'],
  [{ type: 'array', items: { $ref: '#' }, minItems: 1 }, 'has no value that ends'],
])('%j: %s', (schema, message) => {
  expect(refusal(schema)).toContain(message);
});

it('takes what pydantic and zod write', () => {
  const pydantic = {
    $defs: { Kind: { enum: ['a', 'b'], title: 'Kind', type: 'string' } },
    properties: {
      kind: { allOf: [{ $ref: '#/$defs/Kind' }], default: 'a' },
      size: { anyOf: [{ type: 'integer' }, { type: 'null' }], default: null, title: 'Size' },
    },
    required: ['kind'],
    title: 'Thing',
    type: 'object',
  };
  const zod = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: { n: { type: 'integer', minimum: -9007199254740991, maximum: 9007199254740991 } },
    required: ['n'],
    additionalProperties: false,
  };
  expect([refusal(pydantic), refusal(zod)]).toEqual(['none', 'none']);
});

it('takes what zod writes of its own schemas', () => {
  const shape = z.object({
    email: z.email(),
    id: z.uuid(),
    at: z.iso.datetime(),
    day: z.iso.date(),
    site: z.url(),
    address: z.union([z.ipv4(), z.ipv6()]),
    key: z.nanoid(),
    code: z
      .string()
      .regex(/^[A-Z]+$/)
      .startsWith('A')
      .max(5),
    pair: z.tuple([z.string(), z.int()]),
    scores: z.record(z.string(), z.number().positive()),
    sizes: z.record(z.enum(['s', 'm']), z.number().multipleOf(0.5)),
    both: z.intersection(z.object({ a: z.string() }), z.object({ b: z.number().nullable() })),
    kind: z.discriminatedUnion('is', [z.object({ is: z.literal('x') }), z.object({ is: z.literal('y') })]),
    any: z.unknown().optional(),
  });
  for (const target of ['draft-2020-12', 'draft-7'] as const)
    for (const io of ['input', 'output'] as const) {
      const schema = z.toJSONSchema(shape, { target, io }) as Record<string, unknown>;
      expect([refusal(schema), draws(schema, 3, (value) => shape.safeParse(value).success)]).toEqual([
        'none',
        true,
      ]);
    }
});

it('takes what pydantic writes of decimals, sets, paths and mappings', () => {
  const schema = {
    $defs: { Colour: { enum: ['red', 'blue'], title: 'Colour', type: 'string' } },
    properties: {
      price: {
        anyOf: [{ type: 'number' }, { type: 'string', pattern: '^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$' }],
      },
      colours: { items: { $ref: '#/$defs/Colour' }, type: 'array', uniqueItems: true },
      by: {
        additionalProperties: { type: 'integer' },
        propertyNames: { $ref: '#/$defs/Colour' },
        type: 'object',
        minProperties: 1,
      },
      pair: {
        maxItems: 2,
        minItems: 2,
        prefixItems: [{ type: 'integer' }, { type: 'string' }],
        type: 'array',
      },
      file: { format: 'path', type: 'string' },
      secret: { format: 'password', type: 'string', writeOnly: true },
      took: { format: 'duration', type: 'string' },
      size: { anyOf: [{ multipleOf: 5, type: 'integer' }, { type: 'null' }], default: null },
      codes: { patternProperties: { '^[a-z]+$': { type: 'string' } }, type: 'object' },
    },
    required: ['price', 'colours', 'by', 'pair', 'file', 'secret', 'took', 'size', 'codes'],
    type: 'object',
  };
  const isValid = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);
  expect(draws(schema, 20, (value) => isValid(value))).toBe(true);
});

it('refuses what is deeper or larger than it takes', () => {
  let deep: Record<string, unknown> = {};
  for (let i = 0; i < 40; i += 1) deep = { type: 'array', items: deep };
  expect(refusal(deep)).toContain('nested deeper');
  const properties = Object.fromEntries(
    Array.from({ length: 5001 }, (_, i) => [`p${i}`, { type: 'string' }]),
  );
  expect(refusal({ type: 'object', properties })).toContain('is more than this server takes');
});
