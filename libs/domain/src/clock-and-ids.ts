import { idPrefixes } from '@lowrank/contracts';
import { randomBytes } from 'node:crypto';
import { type Clock, type Ids } from './ports/clock';

export const systemClock: Clock = { now: () => new Date().toISOString() };

const base32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** 24 characters of 5 random bits each. 256 is a multiple of 32, so taking a byte modulo 32 favours none. */
export const randomIds: Ids = {
  make: (kind) =>
    `${idPrefixes[kind]}_${Array.from(randomBytes(24), (byte) => base32[byte % base32.length]).join('')}`,
};

/** The instant `milliseconds` before an ISO time, as an ISO time. */
export const before = (at: string, milliseconds: number): string =>
  new Date(Date.parse(at) - milliseconds).toISOString();

/** The instant `milliseconds` after an ISO time, as an ISO time. */
export const after = (at: string, milliseconds: number): string => before(at, -milliseconds);
