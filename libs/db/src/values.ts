import { type Prisma } from './generated/client';

/** A transaction's Prisma client. */
export type Tx = Prisma.TransactionClient;

export const iso = (date: Date): string => date.toISOString();
export const isoOrNull = (date: Date | null): string | null => date?.toISOString() ?? null;
export const dateOrNull = (time: string | null): Date | null => (time === null ? null : new Date(time));

/** Counts are far below 2^53; the columns are bigint because they may pass 2^31. */
export const numberOrNull = (value: bigint | null): number | null => (value === null ? null : Number(value));

/** A value of libs/contracts for a jsonb column; what comes back is that type again. */
export const toJson = (value: unknown): Prisma.InputJsonValue => value as Prisma.InputJsonValue;
export const fromJson = <T>(value: Prisma.JsonValue): T => value as T;

/** The same of what is not known to be storable. */
export const storableJson = (value: Record<string, unknown>): Prisma.InputJsonValue =>
  JSON.parse(
    JSON.stringify(value, (_key, part: unknown) => (typeof part === 'string' ? storableText(part) : part)),
  ) as Prisma.InputJsonValue;

/** Text from outside may hold NUL and, where it was cut, half a surrogate pair, which Postgres does not store. */
export const storableText = (text: string): string =>
  text.replaceAll('\0', '\uFFFD').replace(/\p{Surrogate}/gu, '\uFFFD');
