import { z } from 'zod';
import { idSchema, timeSchema } from './ids';

/** What somebody may do in a team, least first: each role may do all that those before it may. */
export const roleSchema = z.enum(['viewer', 'member', 'admin', 'owner']);
export type Role = z.infer<typeof roleSchema>;

/** What a key can be narrowed to, besides its role; `write` includes `read` of the same. */
export const scopeSchema = z.enum([
  'base-models:read',
  'base-models:write',
  'datasets:read',
  'datasets:write',
  'jobs:read',
  'jobs:write',
  'adapters:read',
  'adapters:write',
  'team:read',
  'team:write',
  'keys:read',
  'keys:write',
  'webhooks:read',
  'webhooks:write',
  'audit:read',
  'platform:read',
  'platform:write',
]);
export type Scope = z.infer<typeof scopeSchema>;

/** Who or what does something. */
export const actorSchema = z.object({
  type: z.enum(['key', 'user']),
  id: z.string(),
  name: z.string(),
});
export type Actor = z.infer<typeof actorSchema>;

/** On whose behalf a request is answered. */
export const principalSchema = z.object({
  teamId: idSchema('team'),
  role: roleSchema,
  /** null: all that the role may do. */
  scopes: z.array(scopeSchema).nullable(),
  /** Whether the team is the one that runs this installation. */
  operator: z.boolean(),
  actor: actorSchema,
  /** The member that it is, or whose key it is; null: of a key of the team. */
  memberId: idSchema('user').nullable(),
  expiresAt: timeSchema.nullable(),
});
export type Principal = z.infer<typeof principalSchema>;
