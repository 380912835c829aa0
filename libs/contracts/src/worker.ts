import { z } from 'zod';
import { idSchema, nameSchema, timeSchema } from './ids';

/** `finish`: running jobs go on to their end; `checkpoint`: they write a checkpoint and go on elsewhere. Neither gets new ones. */
export const drainModeSchema = z.enum(['finish', 'checkpoint']);
export type DrainMode = z.infer<typeof drainModeSchema>;
export const drainWorkerSchema = z.strictObject({ mode: drainModeSchema.default('finish') });

/** How busy a device is, at the worker's last sign of life. */
export const deviceUsageSchema = z.object({
  name: z.string().max(100),
  /** Share of its time that it computed since the sign of life before, 0 to 1; null: not known. */
  utilisation: z.number().min(0).max(1).nullable(),
  memoryUsedBytes: z.int().nonnegative(),
  memoryTotalBytes: z.int().nonnegative(),
  /** °C; null: not known. */
  temperature: z.number().nullable().default(null),
});
/** The same of a machine's processors and memory, and of accelerators that it has besides. */
export const machineUsageSchema = deviceUsageSchema
  .omit({ name: true, temperature: true })
  .extend({ devices: z.array(deviceUsageSchema).max(16) });
export type MachineUsage = z.infer<typeof machineUsageSchema>;

/** Why a worker was drained by itself: what it computes with has failed. */
export const deviceFailureSchema = z.object({ message: z.string(), at: timeSchema });
export type DeviceFailure = z.infer<typeof deviceFailureSchema>;

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
  /** Of the worker's whole machine; null: it has not told yet, or is of a release that does not. */
  usage: machineUsageSchema.nullable(),
  /** Floating-point operations of a training step that one of its trainers does in a second; null: not measured yet. */
  operationsPerSecond: z.number().positive().nullable(),
  drain: drainModeSchema.nullable(),
  /** What has failed, until an admin undrains it; null: nothing. */
  failure: deviceFailureSchema.nullable(),
  seenAt: timeSchema,
});
export type Worker = z.infer<typeof workerSchema>;
