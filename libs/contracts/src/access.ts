import { z } from 'zod';
import { idSchema, timeSchema } from './ids';
import { roles, scopes } from './words';

export const roleSchema = z.enum(roles);
export type Role = z.infer<typeof roleSchema>;

export const scopeSchema = z.enum(scopes);
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
