import { type Tx } from './values';

/** Channel on which the holder of a lock is told of news; a Postgres identifier, so at most 63 bytes. */
export const channelOf = (lock: string): string => `lowrank:${lock}`;

/** Tells the holder of a lock, as soon as the transaction is committed, that there is something for it. */
export async function tell(db: Tx, lock: string): Promise<void> {
  await db.$executeRaw`SELECT pg_notify(${channelOf(lock)}, '')`;
}
