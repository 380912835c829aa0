import { jobSchema, recipeSchema } from '@lowrank/contracts';
import { z } from 'zod';
import { answerWriter } from './answers';

const write = (schema: z.ZodType, answer: unknown): unknown => JSON.parse(answerWriter({ schema })(answer));

describe('an answer', () => {
  it.each<[string, z.ZodType, unknown, unknown]>([
    ['an object', z.object({ a: z.int() }), { a: 1, secret: 2 }, { a: 1 }],
    [
      'objects in a list',
      z.object({ a: z.array(z.object({ b: z.string() })) }),
      { a: [{ b: 'x', secret: 1 }] },
      { a: [{ b: 'x' }] },
    ],
    [
      'an object that may be missing',
      z.object({ a: z.object({ b: z.int() }).nullable() }),
      { a: { b: 1, secret: 2 } },
      { a: { b: 1 } },
    ],
    ['null', z.object({ a: z.object({ b: z.int() }).nullable() }), { a: null }, { a: null }],
    [
      'an object under a name',
      z.record(z.string(), z.object({ b: z.int() })),
      { x: { b: 1, secret: 2 } },
      { x: { b: 1 } },
    ],
    [
      'one of several objects',
      z.union([z.object({ a: z.int() }), z.object({ b: z.int() })]),
      { b: 1, secret: 2 },
      { b: 1 },
    ],
    [
      'that one of several objects which its discriminator names',
      z.discriminatedUnion('kind', [
        z.object({ kind: z.literal('a'), a: z.int() }),
        z.object({ kind: z.literal(['b', 'c']), b: z.object({ d: z.int() }) }),
      ]),
      { kind: 'c', a: 1, b: { d: 2, secret: 3 } },
      { kind: 'c', b: { d: 2 } },
    ],
    ['one of several values', z.union([z.string(), z.array(z.string())]), ['a'], ['a']],
    ['values under names', z.record(z.string(), z.number()), { x: 1 }, { x: 1 }],
    [
      'what a pipe ends in',
      z
        .object({ a: z.int() })
        .transform(({ a }) => ({ b: a + 1 }))
        .pipe(z.object({ b: z.int() })),
      { b: 1, secret: 2 },
      { b: 1 },
    ],
  ])('has what its schema names, and no more: %s', (_what, schema, answer, expected) => {
    expect(write(schema, answer)).toEqual(expected);
  });

  it('has the defaults of what a row of an older release does not name', () => {
    const { optimizer, ...older } = recipeSchema.parse({});
    const { everySteps, ...evaluation } = older.evaluation;
    const recipe = { ...older, evaluation };
    expect(write(jobSchema.pick({ recipe: true }), { recipe })).toEqual({
      recipe: { ...older, optimizer, evaluation: { ...evaluation, everySteps } },
    });
  });
});
