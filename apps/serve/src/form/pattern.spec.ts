import { Validator } from '@cfworker/json-schema';
import { draw, machineOf, numbers, takes } from '../test/machines';
import { formats } from './formats';
import { type Machine } from './machine';

const next = numbers(11);
const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T;
const textOf = (letters: readonly string[], most: number): string =>
  Array.from({ length: Math.floor(next() * (most + 1)) }, () => pick(letters)).join('');

/** An expression of what is supported, drawn at random. */
function regex(depth: number): string {
  const part = () => {
    const atom =
      depth > 0 && next() < 0.3
        ? `(?:${regex(depth - 1)})`
        : pick(['a', 'b', '[ab]', '[^a]', '.', '\\d', '\\w', '\\S', 'é', '🙂', '"', '\\\\', '[b-d1]', '\\.']);
    return atom + pick(['', '', '', '*', '+', '?', '{2}', '{1,3}', '{2,}']);
  };
  const sequence = () => Array.from({ length: 1 + Math.floor(next() * 3) }, part).join('');
  return next() < 0.3 ? `${sequence()}|${sequence()}` : sequence();
}
/** null: no string is such; undefined: it is too large. */
function machineOrNone(schema: Record<string, unknown>): Machine | null | undefined {
  try {
    return machineOf(schema);
  } catch (error) {
    const { message } = error as Error;
    if (message.includes('schema.pattern is larger than')) return undefined;
    expect(message).toContain('schema.pattern is of no string');
    return null;
  }
}
const letters = [...'aabbcd1_. é🙂"\\\n'];

it('takes the strings in which a pattern is found, and no others', () => {
  const met = { some: 0, none: 0 };
  for (let i = 0; i < 60; i += 1) {
    const begin = pick(['', '^', `^(?!${regex(0)})`, `^(?=^${regex(0)}$|b)(?!ab)`]);
    const pattern = begin + (next() < 0.5 && begin.length < 2 ? regex(2) : `(${regex(1)})`) + pick(['', '$']);
    const machine = machineOrNone({ pattern });
    if (machine === undefined) continue;
    const expected = new RegExp(pattern, 'u');
    for (let k = 0; k < 60; k += 1) {
      const text = textOf(letters, 6);
      const is = expected.test(text);
      met[is ? 'some' : 'none'] += 1;
      const taken = machine !== null && takes(machine, JSON.stringify(text));
      expect([pattern, text, taken]).toEqual([pattern, text, is]);
    }
  }
  expect(Math.min(met.some, met.none)).toBeGreaterThan(200);
});

it('writes only strings in which the pattern is found, as long as they are to be', () => {
  for (let i = 0; i < 40; i += 1) {
    const pattern = `^(${regex(2)})$`;
    const minLength = Math.floor(next() * 3);
    const machine = machineOrNone({ pattern, minLength, maxLength: minLength + 6 });
    if (!machine) continue;
    for (let k = 0; k < 5; k += 1) {
      const text = JSON.parse(draw(machine, next)) as string;
      expect([pattern, text, new RegExp(pattern, 'u').test(text)]).toEqual([pattern, text, true]);
      expect(Array.from(text).length).toBeGreaterThanOrEqual(minLength);
      expect(Array.from(text).length).toBeLessThanOrEqual(minLength + 6);
    }
  }
});

it.each(Object.keys(formats))('writes only strings of the format %s', (format) => {
  const machine = machineOf({ type: 'string', format });
  const validator = new Validator({ type: 'string', format });
  for (let i = 0; i < 200; i += 1) {
    const text = draw(machine, next);
    expect([text, validator.validate(JSON.parse(text)).valid]).toEqual([text, true]);
  }
});

it.each([
  ['date', '2024-02-29', '2023-02-29'],
  ['date', '2000-02-29', '1900-02-29'],
  ['date', '2026-04-30', '2026-04-31'],
  ['time', '23:59:59.123+01:00', '24:00:00Z'],
  ['date-time', '2026-11-26T18:00:00Z', '2026-11-26 18:00:00Z'],
  ['uuid', '123e4567-e89b-12d3-a456-426614174000', '123e4567e89b12d3a456426614174000'],
  ['email', 'first.last+tag@mail.example.org', 'first@last'],
  ['ipv4', '255.0.10.1', '256.0.0.1'],
  ['ipv6', '2001:db8::1', '2001:db8::1::'],
  ['ipv6', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7'],
  ['hostname', 'a-b.example.org', '-a.example.org'],
  ['uri', 'https://example.org:8080/a/b?c=%20d#e', 'example.org'],
  ['duration', 'P1Y2M3DT4H5M6S', 'P1Y3D'],
])('%s: takes %s, and not %s', (format, good, bad) => {
  const machine = machineOf({ format });
  expect([takes(machine, JSON.stringify(good)), takes(machine, JSON.stringify(bad))]).toEqual([true, false]);
});

describe('numbers between limits', () => {
  const decimal = () =>
    Number(((next() - 0.5) * 10 ** Math.floor(next() * 5)).toFixed(Math.floor(next() * 5)));

  it('are taken as they are usually written, and no others', () => {
    for (let i = 0; i < 200; i += 1) {
      const [a = 0, b = 0] = [decimal(), decimal()].sort((one, other) => one - other);
      if (a === b) continue;
      const machine = machineOf({ type: 'number', minimum: a, exclusiveMaximum: b });
      for (const value of [a, b, decimal(), decimal(), (a + b) / 2].map((one) => Number(one.toFixed(6)))) {
        const is = value >= a && value < b;
        expect([a, b, value, takes(machine, value.toFixed(6))]).toEqual([a, b, value, is]);
      }
      const drawn = Number(draw(machine, next));
      expect([a, b, drawn, drawn >= a && drawn < b]).toEqual([a, b, drawn, true]);
    }
  });

  it.each([
    [{ minimum: -1e-7, maximum: 1e-7 }, '0.0000001', '0.0000002'],
    [{ exclusiveMinimum: 0 }, '0.000000000001', '0'],
    [{ maximum: 999_999_999_999_999 }, '999999999999999', '999999999999999.5'],
    [{ minimum: 0.1 }, '0.1', '0.09'],
  ])('%j: %s, and not %s', (limits, good, bad) => {
    const machine = machineOf({ type: 'number', ...limits });
    expect([takes(machine, good), takes(machine, bad)]).toEqual([true, false]);
  });
});
