import { errorCatalog, LowrankError } from '@lowrank/contracts';
import { HttpException } from '@nestjs/common';
import { ZodValidationException } from 'nestjs-zod';
import { z } from 'zod';
import { toPublicError } from './errors';

const zodError = z.strictObject({ a: z.object({ b: z.number() }) }).safeParse({ a: { b: 'x' }, c: 1 }).error;

describe('toPublicError', () => {
  it('passes our own errors on', () => {
    const error = new LowrankError('in_use', 'A job trains on it.');
    expect(toPublicError(error)).toBe(error);
  });

  it('names every field of a body that is not valid', () => {
    const error = toPublicError(new ZodValidationException(zodError));
    expect(error).toMatchObject({ code: 'validation_failed', status: 400 });
    expect(error.details).toEqual([
      { path: 'a.b', message: expect.stringContaining('expected number') },
      { path: '(root)', message: expect.stringContaining('"c"') },
    ]);
  });

  it.each([
    [400, 'validation_failed'],
    [404, 'not_found'],
    [406, 'unsupported_media_type'],
    [413, 'body_too_large'],
    [415, 'unsupported_media_type'],
  ])('gives status %d of Nest and of Fastify the code %s', (status, code) => {
    expect(toPublicError(new HttpException('What is wrong.', status))).toMatchObject({
      code,
      message: 'What is wrong.',
    });
    expect(toPublicError(Object.assign(new Error('x'), { statusCode: status }))).toMatchObject({ code });
  });

  it.each([
    ['a bug', new TypeError("Cannot read properties of undefined (reading 'secret')")],
    ['a full disk', Object.assign(new Error('ENOSPC: /var/secret'), { code: 'ENOSPC' })],
    ['an answer that breaks its own contract', zodError],
    ['a status without a code', new HttpException('secret', 418)],
    ['no error at all', 'secret'],
    ['nothing', undefined],
  ])('says nothing of the inside of %s', (_title, thrown) => {
    const error = toPublicError(thrown);
    expect(error).toMatchObject({ code: 'internal', help: errorCatalog.internal.help });
    expect(JSON.stringify(error.toBody())).not.toContain('secret');
    expect(error.cause).toBe(thrown);
  });
});
