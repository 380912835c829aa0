import { LowrankError } from '@lowrank/contracts';
import { isSerializationFailure, isUniqueViolation, translated } from './errors';
import { Prisma } from './generated/client';

const known = (code: string, cause?: object) =>
  new Prisma.PrismaClientKnownRequestError('Raw query failed.', {
    code,
    clientVersion: '7',
    meta: cause && { driverAdapterError: { cause } },
  });
const withCode = (message: string, code?: string) => Object.assign(new Error(message), { code });

describe('translated', () => {
  it.each([
    ['a write conflict', known('P2034'), 'conflict'],
    ['a deadlock in a raw query', known('P2010', { originalCode: '40P01' }), 'conflict'],
    ['a serialization failure of pg', withCode('could not serialize access', '40001'), 'conflict'],
    ['a conflict of the adapter', known('P2010', { kind: 'TransactionWriteConflict' }), 'conflict'],
    ['a unique violation', known('P2002'), 'conflict'],
    ['a unique violation in a raw query', known('P2010', { originalCode: '23505' }), 'conflict'],
    ['a missing reference', known('P2003'), 'conflict'],
    ['a missing reference in a raw query', known('P2010', { originalCode: '23503' }), 'conflict'],
    ['NUL in text', known('P2010', { originalCode: '22021' }), 'validation_failed'],
    ['NUL in json', known('P2010', { code: '22P05' }), 'validation_failed'],
    ['an unreachable server', known('P1001'), 'store_unavailable'],
    ['no free connection in time', known('P2024'), 'store_unavailable'],
    ['a transaction that took too long', known('P2028'), 'store_unavailable'],
    ['a server that shuts down', known('P2010', { originalCode: '57P01' }), 'store_unavailable'],
    ['a server that starts', withCode('the database system is starting up', '57P03'), 'store_unavailable'],
    ['too many connections', withCode('sorry, too many clients already', '53300'), 'store_unavailable'],
    ['a full disk', withCode('could not extend file', '53100'), 'store_unavailable'],
    [
      'a refused connection',
      withCode('connect ECONNREFUSED 127.0.0.1:1', 'ECONNREFUSED'),
      'store_unavailable',
    ],
    ['a connection that ended', withCode('Connection terminated unexpectedly'), 'store_unavailable'],
    [
      'a connection that ended before',
      withCode('Client has encountered a connection error and is not queryable'),
      'store_unavailable',
    ],
    ['no server', known('P2010', { kind: 'DatabaseNotReachable' }), 'store_unavailable'],
    ['an answer too late', withCode('Query read timeout'), 'store_unavailable'],
    ['a connection too late', withCode('timeout expired'), 'store_unavailable'],
    ['a session idle for too long', withCode('terminating connection', '25P03'), 'store_unavailable'],
  ])('of %s', (_title, error, code) => {
    const result = translated(error);
    expect(result).toMatchObject({ code, cause: error });
    expect(result).toBeInstanceOf(LowrankError);
  });

  it.each([
    ['ours', new LowrankError('in_use', 'terminated')],
    ['a mistake of the program', new TypeError('x is undefined')],
    ['a check that failed', known('P2010', { originalCode: '23514' })],
    ['a row too many', known('P2025')],
    ['no error', 'terminated'],
    ['nothing', undefined],
  ])('passes on %s', (_title, error) => expect(translated(error)).toBe(error));
});

it.each([
  [known('P2034'), true, false],
  [known('P2010', { originalCode: '40001' }), true, false],
  [known('P2002'), false, true],
  [withCode('duplicate key', '23505'), false, true],
  [withCode('connect', 'ECONNREFUSED'), false, false],
  [new Error('40001'), false, false],
])('%p: run again %p, taken %p', (error, again, taken) => {
  expect(isSerializationFailure(error)).toBe(again);
  expect(isUniqueViolation(error)).toBe(taken);
});
