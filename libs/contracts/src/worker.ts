import { z } from 'zod';
import { idSchema, nameSchema, timeSchema } from './ids';

/** `finish`: running jobs go on to their end; `checkpoint`: they write a checkpoint and go on elsewhere. Neither gets new ones. */
export const drainModeSchema = z.enum(['finish', 'checkpoint']);
export type DrainMode = z.infer<typeof drainModeSchema>;
export const drainWorkerSchema = z.strictObject({ mode: drainModeSchema.default('finish') });

export const workerSchema = z.object({
  id: idSchema('worker'),
  hostname: z.string(),
  /** Jobs it can run at a time, and how many hold one of its slots now. */
  slots: z.int().positive(),
  busy: z.int().nonnegative(),
  /** What it computes with, e.g. `cpu AMD EPYC`. */
  device: z.string(),
  /** What jobs name in placement.deviceClasses. */
  deviceClass: nameSchema,
  /** Memory for all of its slots, bytes; 0: not known. */
  memoryBytes: z.int().nonnegative(),
  drain: drainModeSchema.nullable(),
  seenAt: timeSchema,
});
export type Worker = z.infer<typeof workerSchema>;
