import { LowrankError } from '@lowrank/contracts';
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
const inProperty = (schema: unknown) => ({ type: 'object', properties: { a: schema } });

it.each([
  [{ multipleOf: 2 }, 'schema.multipleOf is a keyword that is not supported'],
  [{ pattern: '(?=a)' }, 'schema.pattern has a look around'],
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
  [{ pattern: 'a', format: 'date' }, 'schema.format beside pattern is not supported'],
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
  [inProperty(false), 'schema.properties.a must be an object'],
  [{ type: 'number', minimum: '1' }, 'schema.minimum must be a number of 15 digits at most'],
  [{ type: 'number', exclusiveMinimum: 1, maximum: 1 }, 'schema has no number between its limits'],
  [{ type: 'integer', minimum: 2, maximum: 1 }, 'has no integer of 15 digits between 2 and 1'],
  [{ type: 'string', minLength: -1 }, 'schema.minLength must be a whole number'],
  [{ type: 'array', minItems: 3, maxItems: 2 }, 'schema.minItems is more than maxItems'],
  [{ type: 'object', required: ['a'], additionalProperties: false }, "schema.required has 'a'"],
  [{ enum: [] }, 'schema.enum must be a list of values'],
  [{ type: 'string', enum: [1] }, 'schema.enum has no value of the type'],
  [{ anyOf: [{}], type: 'string' }, 'schema.anyOf beside type is not supported'],
  [{ allOf: [{}, {}] }, 'schema.allOf of more than one schema'],
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

it('refuses what is deeper or larger than it takes', () => {
  let deep: Record<string, unknown> = {};
  for (let i = 0; i < 40; i += 1) deep = { type: 'array', items: deep };
  expect(refusal(deep)).toContain('nested deeper');
  const properties = Object.fromEntries(
    Array.from({ length: 5001 }, (_, i) => [`p${i}`, { type: 'string' }]),
  );
  expect(refusal({ type: 'object', properties })).toContain('is more than this server takes');
});
