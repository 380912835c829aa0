import { LowrankError } from '@lowrank/contracts';
import { types } from 'node:util';
import { Prisma } from './generated/client';

/** Prisma's codes (https://www.prisma.io/docs/orm/reference/error-reference) for a database that does not answer or gives up. */
const unavailableCodes = new Set([
  'P1000', // wrong user or password
  'P1001', // not reachable
  'P1003', // no such database
  'P1008', // socket timed out
  'P1010', // access denied
  'P1011', // TLS
  'P1017', // connection closed
  'P1018', // transaction closed
  'P2024', // no free connection in time
  'P2028', // transaction took too long, or its connection is gone
  'P2037', // too many connections
]);
/** Classes and codes of SQLSTATE that say the same (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
const unavailableState = /^(08|53|57P|25P03|3D000|28)/;
/** Kinds of the driver adapter for the same, where there was no server to send a SQLSTATE. */
const unavailableKinds = new Set([
  'DatabaseNotReachable',
  'ConnectionClosed',
  'SocketTimeout',
  'TlsConnectionError',
]);
const unavailableText =
  /terminat|ECONN|ETIMEDOUT|EPIPE|ENOTFOUND|EAI_AGAIN|timeout exceeded when trying to connect|timeout expired|read timeout|Connection ended|not queryable/i;

/** What the driver said underneath Prisma's error, if it did. */
interface DriverCause {
  kind?: string;
  originalCode?: string;
  code?: string;
}

const driverCause = (error: unknown): DriverCause => {
  const meta = (error as { meta?: { driverAdapterError?: { cause?: DriverCause } } }).meta;
  return meta?.driverAdapterError?.cause ?? (error as { cause?: DriverCause }).cause ?? {};
};

/** SQLSTATE of an error, whether Prisma, its driver adapter or `pg` threw it. */
function stateOf(error: unknown): string | undefined {
  const cause = driverCause(error);
  const code = cause.originalCode ?? cause.code ?? (error as { code?: unknown }).code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** Two transactions got in each other's way, and this one was undone: running it again is all there is to do. */
export function isSerializationFailure(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return (
    code === 'P2034' ||
    driverCause(error).kind === 'TransactionWriteConflict' ||
    ['40001', '40P01'].includes(stateOf(error) ?? '')
  );
}

/** A row with the same key exists. */
export const isUniqueViolation = (error: unknown): boolean =>
  (error instanceof Prisma.PrismaClientKnownRequestError && error.code === 'P2002') ||
  stateOf(error) === '23505';

/** Node's own errors may come from another realm than ours, where `instanceof` does not know them. */
const isError = (value: unknown): value is Error => value instanceof Error || types.isNativeError(value);

/** What a caller of the ports gets for an error of Prisma or `pg`; anything else is passed on as it is. */
export function translated(error: unknown): unknown {
  if (error instanceof LowrankError || !isError(error)) return error;
  const { code } = error as { code?: string };
  const state = stateOf(error) ?? '';
  const make = (lowrankCode: ConstructorParameters<typeof LowrankError>[0], message: string) =>
    new LowrankError(lowrankCode, message, undefined, { cause: error });
  if (isSerializationFailure(error))
    return make('conflict', 'Others kept changing the same rows; nothing was done.');
  if (isUniqueViolation(error)) return make('conflict', 'A row with the same key exists.');
  if (code === 'P2003' || state === '23503')
    return make('conflict', 'What a row refers to does not exist, or is in use.');
  if (state === '22021' || state === '22P05')
    return make('validation_failed', 'Text must not contain NUL characters.');
  if (
    unavailableCodes.has(code ?? '') ||
    unavailableState.test(state) ||
    unavailableKinds.has(driverCause(error).kind ?? '') ||
    error instanceof Prisma.PrismaClientInitializationError ||
    unavailableText.test(`${code} ${error.message}`)
  )
    return make('store_unavailable', 'The database did not answer.');
  return error;
}
