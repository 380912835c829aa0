import { z } from 'zod';
import { idSchema, nameSchema } from './ids';
import { createdInvitationSchema, emailSchema } from './member';

/** What a team may use; null: no limit. */
export const quotasSchema = z.object({
  /** Share of the machines relative to other teams' when all have jobs waiting. */
  weight: z.number().min(0.001).max(1000),
  /** Jobs that hold a slot at a time. */
  maxRunning: z.int32().nonnegative().nullable(),
  /** Jobs that wait at a time. */
  maxQueued: z.int32().nonnegative().nullable(),
  /** Seconds that its jobs may hold slots in a calendar month (UTC). */
  deviceSecondsPerMonth: z.int().nonnegative().nullable(),
  /** Tokens of prompts and answers that its completions may take in a calendar month (UTC). */
  tokensPerMonth: z.int().nonnegative().nullable(),
});
export type Quotas = z.infer<typeof quotasSchema>;
export const changeQuotasSchema = quotasSchema.partial().strict();

export const teamSchema = quotasSchema.extend({
  id: idSchema('team'),
  name: z.string(),
  /** In this calendar month (UTC), of attempts that have ended. */
  deviceSecondsUsed: z.number().nonnegative(),
  /** In this calendar month (UTC), some seconds late. */
  tokensUsed: z.int().nonnegative(),
});
export type Team = z.infer<typeof teamSchema>;

export const createTeamSchema = quotasSchema
  .partial()
  .extend({
    name: nameSchema,
    owner: emailSchema.describe('Address of its first owner, who is invited.'),
  })
  .strict();
export type CreateTeam = z.infer<typeof createTeamSchema>;
export const createdTeamSchema = teamSchema.extend({ invitation: createdInvitationSchema });
export type CreatedTeam = z.infer<typeof createdTeamSchema>;
export const changeTeamSchema = quotasSchema.partial().extend({ name: nameSchema.optional() }).strict();
export type ChangeTeam = z.infer<typeof changeTeamSchema>;
