import { type Measure, measureSchema } from '@lowrank/contracts';
import { codeOf } from '@lowrank/testing';
import { Judge } from './judge';

const schema = {
  type: 'object',
  properties: { name: { type: 'string' }, tags: { type: 'array', items: { enum: ['a', 'b'] } } },
  required: ['name'],
  additionalProperties: false,
};
const measures = [
  { metric: 'exact-match' },
  { metric: 'exact-match', ignoreCase: true },
  { metric: 'regex', pattern: '^yes|ü{2}$', flags: 'i' },
  { metric: 'json-schema', schema },
  { metric: 'json-schema', schema: { $ref: 'https://example.org/none.json' } },
  { metric: 'regex', pattern: '^(a+)+$' },
].map((one) => measureSchema.parse(one) satisfies Measure);

let judge: Judge;
beforeAll(() => (judge = new Judge(measures, 500)));
afterAll(() => judge.close());
const problemOf = (measure: number, answer: string, expected = '') =>
  judge.problemOf({ measure, answer, expected });

it.each([
  [0, ' Paris\n', 'Paris', null],
  [0, 'paris', 'Paris', 'expected Paris'],
  [1, 'paris', 'Paris', null],
  [2, 'Yes, of course', '', null],
  [2, 'fÜü', '', null],
  [2, 'no', '', 'has no match of /^yes|ü{2}$/iu'],
  [3, ' {"name": "x", "tags": ["b"]} ', '', null],
  [3, '{"name": "x"', '', 'is not JSON'],
  [3, '{"tags": []}', '', 'Instance does not have required property "name".'],
])('by measure %d finds %j of %j: %j', async (measure, answer, expected, problem) => {
  expect(await problemOf(measure, answer, expected)).toBe(problem);
});

it('says where an answer is not valid', async () => {
  expect(await problemOf(3, '{"name": "x", "tags": ["c"]}')).toMatch(
    /^tags\/0: .*does not match any of \["a","b"\]/,
  );
});

it('refuses a schema that refers elsewhere, and fetches nothing', async () => {
  expect(await codeOf(problemOf(4, '{}'))).toBe('evaluation_failed');
});

it('reads no answer without end', async () => {
  expect(await problemOf(2, 'yes'.repeat(50_000))).toBe('is longer than 65536 characters');
});

it('gives up on what takes for ever, and goes on with the rest', async () => {
  const hostile = `${'a'.repeat(60)}!`;
  expect(await problemOf(5, hostile)).toBe('could not be judged within 500 ms');
  expect(await problemOf(5, 'aaa')).toBeNull();
  expect(await problemOf(5, hostile)).toBe('could not be judged within 500 ms');
  expect(await problemOf(0, 'x', 'x')).toBeNull();
  await expect(problemOf(5, hostile)).rejects.toThrow(
    /measure 6 \(regex\) took longer than 500 ms for 3 answers/,
  );
});
