import { compileSchema } from './compile';
import { Forms } from './forms';
import { Machine, type Position } from './machine';
import { Vocabulary } from './vocabulary';

const words = [
  '{',
  '}',
  '{"',
  '"',
  '":',
  '": ',
  ', ',
  ',',
  ' ',
  '\n',
  'name',
  'na',
  'a',
  'ab',
  'abc',
  'abcd',
  'é',
  '漢字',
  '1',
  '23',
  '"}',
  '", "',
];
words.push('\\', '\\n', 'null', 'true', 'x"', '[', ']', '[]', '\t');
const tokens: (Uint8Array | null)[] = words.map((word) => Buffer.from(word));
// Halves of characters, bytes that are none, a special token, and two ids that write the same.
tokens.push(
  Buffer.from([0xe6]),
  Buffer.from([0xbc, 0xa2]),
  Buffer.from([0xbc, 0xa2, 0x61]),
  Buffer.from([0x61, 0xe6]),
  Buffer.from([0xff]),
  null,
  Buffer.from('ab'),
);
const stop = tokens.push(null) - 1;
const bytesOf = (id: number) => tokens[id] ?? null;

const bits = (mask: Uint32Array): number[] =>
  tokens.flatMap((_, token) => ((mask[token >>> 5] as number) & (1 << (token & 31)) ? [token] : []));

/** By trying each. */
function expected(machine: Machine, position: Position): number[] {
  return tokens.flatMap((bytes, token) => {
    if (token === stop) return position.whole ? [token] : [];
    let at: Position | null = bytes === null ? null : position;
    for (const byte of bytes ?? []) at = at && machine.step(at, byte);
    return at === null ? [] : [token];
  });
}

it.each([
  [{}],
  [{ type: 'object' }],
  [{ type: 'string', minLength: 1, maxLength: 3 }],
  [{ anyOf: [{ type: 'string', maxLength: 2 }, { const: 'abcd' }, { type: 'integer' }] }],
  [
    {
      type: 'object',
      properties: { name: { type: ['string', 'null'] }, a: { enum: ['ab', 'abc', 1, 123] } },
      additionalProperties: { type: 'array', items: true },
    },
  ],
])('allows the tokens that lead on, of %j', (schema) => {
  const machine = new Machine(compileSchema(schema, 'schema'));
  const vocabulary = new Vocabulary(tokens.length, bytesOf, [stop]);
  const seen = new Set<Position>();
  const ways: Position[] = [machine.start];
  for (let at = ways.pop(); at !== undefined && seen.size < 300; at = ways.pop()) {
    if (seen.has(at)) continue;
    seen.add(at);
    const allowed = bits(vocabulary.allowed(machine, at));
    expect(allowed).toEqual(expected(machine, at));
    for (const token of allowed.toReversed()) {
      let next: Position | null = at;
      for (const byte of bytesOf(token) ?? []) next = next && machine.step(next, byte);
      if (next !== null) ways.push(next);
    }
  }
  expect(seen.size).toBeGreaterThan(5);
});

describe('Forms', () => {
  it('follows answers one beside the other, and says when nothing can follow', () => {
    const forms = new Forms(tokens.length, bytesOf, [stop]);
    const say = (form: number, word: string) => forms.accept(form, words.indexOf(word));
    forms.open(1, { type: 'object' }, 'schema', 'key');
    forms.open(2, { const: 'abc' }, 'schema', 'other');
    expect(say(1, '{"').whole).toBe(false);
    expect(bits(say(2, '"').allowed).map((token) => words[token] ?? token)).toEqual(['a', 'ab', 'abc', 37]);
    for (const word of ['a', '": ', 'null']) say(1, word);
    expect(say(1, '}')).toMatchObject({ whole: true });
    expect(bits(say(2, 'abc').allowed).map((token) => words[token])).toEqual(['"']);
    expect(() => say(2, 'a')).toThrow('not one that the form allows');
    forms.close(2);
    expect(() => say(2, '"')).toThrow('no form 2');
  });

  it('says so where the vocabulary has no way on', () => {
    const forms = new Forms(tokens.length, bytesOf, [stop]);
    expect(() => forms.open(1, { const: 7 }, 'schema', 'key')).toThrow('cannot write');
  });
});
