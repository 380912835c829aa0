import { z } from 'zod';
import { versionRefSchema } from './alias';
import { pinStateSchema } from './completion';
import { nameSchema, timeSchema } from './ids';

/** An adapter that servers keep loaded: one version, or whichever an alias stands on. */
export const pinSchema = z.object({
  adapter: nameSchema,
  /** `v3`, `latest` or an alias. */
  ref: versionRefSchema,
  createdAt: timeSchema,
  /** Who pinned it: the id of a key or of a user. */
  createdBy: z.string(),
});
export type Pin = z.infer<typeof pinSchema>;

export const pinStatusSchema = pinSchema.extend({
  /** Number of the version that it stands for now; null: there is none. */
  version: z.int().positive().nullable(),
  /** `waiting`: no server has told of it yet. */
  state: z.enum(['loaded', 'refused', 'waiting']),
  /** Memory that the adapter takes. */
  bytes: pinStateSchema.shape.bytes,
  /** Why it is not loaded. */
  reason: z.string().nullable(),
});
export type PinStatus = z.infer<typeof pinStatusSchema>;

export const prefetchSchema = z.strictObject({
  /** On so many servers: those that its requests go to first. */
  servers: z.int().min(1).max(64).default(1),
});
export const prefetchedSchema = z.object({
  adapter: nameSchema,
  version: z.int().positive(),
  /** How many servers have it in memory now. */
  servers: z.int().positive(),
});
export type Prefetched = z.infer<typeof prefetchedSchema>;
