import { z } from 'zod';
import { idSchema } from './ids';

/** What a team may use; null: no limit. */
export const quotasSchema = z.object({
  /** Share of the machines relative to other teams' when all have jobs waiting. */
  weight: z.number().positive().max(1000),
  /** Jobs that hold a slot at a time. */
  maxRunning: z.int().nonnegative().nullable(),
  /** Jobs that wait at a time. */
  maxQueued: z.int().nonnegative().nullable(),
  /** Seconds that its jobs may hold slots in a calendar month (UTC). */
  deviceSecondsPerMonth: z.int().nonnegative().nullable(),
});
export type Quotas = z.infer<typeof quotasSchema>;
export const changeQuotasSchema = quotasSchema.partial().strict();

export const teamSchema = quotasSchema.extend({
  id: idSchema('team'),
  name: z.string(),
  /** In this calendar month (UTC), of attempts that have ended. */
  deviceSecondsUsed: z.number().nonnegative(),
});
export type Team = z.infer<typeof teamSchema>;
