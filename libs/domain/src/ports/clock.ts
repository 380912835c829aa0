import { type IdKind } from '@lowrank/contracts';

/** Time and chance, so that tests can hold them still. */
export interface Clock {
  /** ISO 8601 in UTC with milliseconds. */
  now(): string;
}

export interface Ids {
  /** A new id of a kind in contracts' idPrefixes. */
  make(kind: IdKind): string;
}
