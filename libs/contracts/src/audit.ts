import { z } from 'zod';
import { actorSchema } from './access';
import { type Action, actions } from './actions';
import { idSchema, timeSchema } from './ids';
import { pageQuerySchema } from './paging';

/** What was changed: its kind, such as `job`, and its id, its name, or both. */
export const auditTargetSchema = z.object({
  kind: z.string(),
  id: z.string().nullable(),
  name: z.string().nullable(),
});

/** One change that a caller has made, or a sign-in that succeeded or failed. */
export const auditEntrySchema = z.object({
  id: idSchema('auditEntry'),
  at: timeSchema,
  actor: actorSchema,
  /** Of the table of actions, as it was then. */
  action: z.string(),
  /** What was done under that action, such as `cancel` under `jobs.control`. */
  change: z.string(),
  target: auditTargetSchema,
  /** What became of the target; never a secret. */
  details: z.record(z.string(), z.unknown()),
  /** `x-request-id` of the answer. */
  requestId: z.string(),
});
export type AuditEntry = z.infer<typeof auditEntrySchema>;

const text = z.string().min(1).max(200);
export const auditQuerySchema = pageQuerySchema.extend({
  actor: text.optional().describe('Id of who did it.'),
  action: z.enum(Object.keys(actions) as [Action, ...Action[]]).optional(),
  target: text.optional().describe('Id or name of what was changed.'),
  request: text.optional().describe('`x-request-id` of the answer.'),
  since: timeSchema.optional().describe('Changes at that time and later.'),
  until: timeSchema.optional().describe('Changes before that time.'),
});
export type AuditQuery = z.infer<typeof auditQuerySchema>;
