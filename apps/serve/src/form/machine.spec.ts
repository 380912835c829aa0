import Ajv2020 from 'ajv/dist/2020';
import { draw, follow, machineOf, numbers, takes } from '../test/machines';
import { type Position } from './machine';

const list = {
  type: 'object',
  properties: { v: { type: 'integer' }, next: { anyOf: [{ $ref: '#/$defs/list' }, { type: 'null' }] } },
};
const schemas: Record<string, Record<string, unknown>> = {
  anything: {},
  object: { type: 'object' },
  strings: { type: 'array', items: { type: 'string', minLength: 2, maxLength: 4 }, minItems: 1, maxItems: 3 },
  person: {
    type: 'object',
    properties: {
      name: { type: 'string', description: 'Whose.' },
      age: { type: 'integer', minimum: 0, maximum: 130 },
      'a "key"\n': { enum: ['x', 'xy', 1, 12, null, { a: [1] }] },
      weight: { type: ['number', 'null'] },
    },
    required: ['name', 'weight'],
    additionalProperties: false,
  },
  open: {
    type: 'object',
    properties: { on: { type: 'boolean' }, one: { const: 1 } },
    required: ['one', 'two'],
    additionalProperties: { type: 'integer', exclusiveMinimum: -12, exclusiveMaximum: 3 },
  },
  recursive: {
    $defs: { list: { ...list, required: ['v', 'next'], additionalProperties: false } },
    $ref: '#/$defs/list',
  },
  optional: { $defs: { list: { ...list, additionalProperties: false } }, $ref: '#/$defs/list' },
  self: { type: 'array', items: { $ref: '#' }, maxItems: 2 },
  ambiguous: {
    anyOf: [
      { type: 'array', items: { $ref: '#' } },
      { type: 'array', items: { $ref: '#' }, maxItems: 2 },
      { type: 'string', maxLength: 2 },
      { const: 'abc' },
    ],
  },
  tagged: {
    oneOf: [
      { $ref: '#/$defs/cat' },
      {
        type: 'object',
        properties: { kind: { const: 'dog' }, age: { type: 'number', minimum: 0.5, exclusiveMaximum: 3 } },
        required: ['kind', 'age'],
        additionalProperties: false,
      },
      { type: ['integer', 'null'], minimum: 3 },
    ],
    $defs: {
      cat: {
        type: 'object',
        properties: {
          kind: { const: 'cat' },
          name: { type: 'string', pattern: '^[A-Z][a-z]+$', maxLength: 6 },
        },
        required: ['kind'],
        additionalProperties: false,
      },
    },
    discriminator: { propertyName: 'kind' },
  },
  tuple: {
    type: 'array',
    prefixItems: [{ type: 'string' }, { type: 'integer', multipleOf: 5 }],
    items: { type: 'boolean' },
    minItems: 1,
    maxItems: 4,
  },
  pair: { type: 'array', prefixItems: [{ type: 'string' }, { type: 'null' }] },
  set: {
    type: 'array',
    items: { $ref: '#/$defs/letter' },
    uniqueItems: true,
    $defs: { letter: { enum: ['a', 'ab', 1] } },
  },
  price: { type: 'number', multipleOf: 0.05, minimum: 0 },
  headers: {
    type: 'object',
    properties: { id: { type: 'integer' }, 'x-own': { minLength: 2 } },
    patternProperties: { '^x-': { type: 'string' }, '"$': { type: 'null' } },
    additionalProperties: { type: 'boolean' },
    propertyNames: { maxLength: 6 },
  },
  counted: {
    type: 'object',
    properties: { a: { type: 'integer' }, b: { type: 'integer' }, c: { type: 'integer' } },
    required: ['c'],
    minProperties: 2,
    maxProperties: 2,
  },
  merged: {
    $defs: { named: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] } },
    allOf: [
      { $ref: '#/$defs/named' },
      { properties: { name: { maxLength: 3 }, age: { type: 'integer' } } },
      { anyOf: [{ required: ['age'] }, { properties: { name: { enum: ['x', 'long'] } } }] },
    ],
  },
  nothing: {
    type: 'object',
    properties: { a: false, b: { type: 'null' } },
    additionalProperties: { type: 'null' },
  },
  union: { allOf: [{ anyOf: [{ type: 'string', nullable: true }, { type: 'number' }] }] },
};

it.each(Object.entries(schemas))('takes only values of the schema: %s', (_name, schema) => {
  // Multiples are decimals, which a division of floats is not exact about.
  const ajv = new Ajv2020({ allowUnionTypes: true, strict: false, multipleOfPrecision: 9 });
  const isValid = ajv.compile(schema);
  const machine = machineOf(schema);
  const next = numbers(7);
  for (let i = 0; i < 12; i += 1) {
    const text = draw(machine, next);
    const value: unknown = JSON.parse(text);
    expect([text, isValid(value), ajv.errorsText(isValid.errors)]).toEqual([text, true, 'No errors']);
  }
});

it.each([
  ['person', { name: 'Zoë 🙂 "x" \\ \n', age: 130, 'a "key"\n': 'xy', weight: -1.5e-7 }],
  ['person', { name: '', weight: null }],
  ['open', { on: false, one: 1, two: -11, tw: 2, onx: 0, '': 1 }],
  ['recursive', { v: -5, next: { v: 999_999_999_999_999, next: null } }],
  ['anything', [[{ a: [], b: {} }], 'x', 0.5, true]],
  ['strings', ['🙂🙂', 'abcd']],
  ['tagged', { kind: 'cat', name: 'Tom' }],
  ['tagged', { kind: 'dog', age: 2.75 }],
  ['tagged', null],
  ['ambiguous', [[], ['ab', 'abc'], 'a', []]],
  ['tuple', ['x']],
  ['tuple', ['x', -15, true, false]],
  ['pair', ['x', null]],
  ['set', ['ab', 1, 'a']],
  ['set', []],
  ['price', 0.15],
  ['price', 99_999.95],
  ['headers', { id: 1, 'x-own': 'ab', 'x-z': '', k: true, 'k"': null }],
  ['counted', { b: 1, c: 2 }],
  ['merged', { name: 'abc', age: 1 }],
  ['merged', { name: 'x' }],
  ['nothing', { b: null, c: null }],
])('takes a value of %s as it is usually written', (name, value) => {
  const machine = machineOf(schemas[name] as Record<string, unknown>);
  for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2)])
    expect([text, takes(machine, text)]).toEqual([text, true]);
});

it.each([
  ['person', '{"name": "x"}'],
  ['person', '{"weight": 1, "name": "x"}'],
  ['person', '{"name": "x", "age": 131'],
  ['person', '{"name": "x", "age": 01'],
  ['person', '{"name": "x", "other"'],
  ['person', '{"name": "\u0001'],
  ['person', '{"name": "\\ud83d'],
  ['person', ' {'],
  ['person', `{${' '.repeat(41)}`],
  ['open', '{"one": 1, "two": 1, "on"'],
  ['open', '{"one": 1, "two": 3'],
  ['open', '{"one": 1, "two": -12'],
  ['tagged', '{"kind": "cow"'],
  ['tagged', '{"kind": "dog", "age": 3'],
  ['tagged', '{"kind": "dog", "age": 0.4'],
  ['tagged', '{"kind": "dog", "age": -'],
  ['tagged', '{"kind": "cat", "name": "t'],
  ['tagged', '{"kind": "cat", "name": "Tomtomt'],
  ['strings', '["a"'],
  ['strings', '["abcde'],
  ['strings', '[]'],
  ['strings', '["ab",]'],
  ['tuple', '[]'],
  ['tuple', '["x", 3]'],
  ['tuple', '["x", 5, true, false,'],
  ['pair', '["x"]'],
  ['pair', '["x", null,'],
  ['set', '["a", "ab", "a"'],
  ['set', '["a", 1, "ab",'],
  ['price', '0.07'],
  ['price', '0.051'],
  ['headers', '{"x-z": 1'],
  ['headers', '{"k": 1'],
  ['headers', '{"x-own": "a"'],
  ['headers', '{"x-\\"": '],
  ['headers', '{"seven77"'],
  ['counted', '{"c"'],
  ['counted', '{"a": 1, "b"'],
  ['merged', '{"name": "abc"}'],
  ['merged', '{"name": "abcd'],
  ['merged', '{"name": "long'],
  ['nothing', '{"a"'],
  ['anything', '-0x'],
  ['anything', '.5'],
  ['anything', '1e999'],
])('does not take of %s: %s', (name, text) => {
  expect(follow(machineOf(schemas[name] as Record<string, unknown>), text)).toBeNull();
});

it('knows that a name is of two patterns whose values nothing is of both', () => {
  expect(takes(machineOf(schemas['headers'] as Record<string, unknown>), '{"x-1\\"": null}')).toBe(false);
});

it('writes values of an enum in one way', () => {
  const machine = machineOf({ enum: [{ a: [1, 'x'] }] });
  expect(takes(machine, '{"a":[1,"x"]}')).toBe(true);
  expect(follow(machine, '{ "a"')).toBeNull();
});

it('takes no bytes that are no UTF-8', () => {
  const machine = machineOf({ type: 'string' });
  for (const bytes of [
    [0x80],
    [0xc0],
    [0xc1],
    [0xe0, 0x80],
    [0xed, 0xa0],
    [0xf0, 0x80],
    [0xf4, 0x90],
    [0xf5],
    [0xff],
    [0xc3, 0x28],
  ]) {
    let at: Position | null = machine.step(machine.start, 0x22);
    for (const byte of bytes) at = at && machine.step(at, byte);
    expect([bytes, at]).toEqual([bytes, null]);
  }
});

it('ends what is nested as deep as may be', () => {
  const machine = machineOf({});
  let text = '';
  while (follow(machine, `${text}[`) !== null) text += '[';
  expect(text.length).toBeGreaterThan(50);
  expect(takes(machine, text + ']'.repeat(text.length))).toBe(true);
});
