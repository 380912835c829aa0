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
  union: { allOf: [{ anyOf: [{ type: 'string', nullable: true }, { type: 'number' }] }] },
};

it.each(Object.entries(schemas))('takes only values of the schema: %s', (_name, schema) => {
  const ajv = new Ajv2020({ allowUnionTypes: true, strict: false });
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
  ['anything', '-0x'],
  ['anything', '.5'],
  ['anything', '1e999'],
])('does not take of %s: %s', (name, text) => {
  expect(follow(machineOf(schemas[name] as Record<string, unknown>), text)).toBeNull();
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
