import { z } from 'zod';
import { roleSchema, scopeSchema } from './access';
import { idSchema, timeSchema } from './ids';

export const apiKeySchema = z.object({
  id: idSchema('apiKey'),
  teamId: idSchema('team'),
  name: z.string(),
  role: roleSchema,
  /** null: all that the role may do. */
  scopes: z.array(scopeSchema).nullable(),
  /** The member or service account that it belongs to, and is revoked with; null: the team's. */
  memberId: idSchema('user').nullable(),
  /** First characters of the key, to recognise it by. */
  hint: z.string(),
  createdAt: timeSchema,
  /** From when on it is refused; null: never. */
  expiresAt: timeSchema.nullable(),
  revokedAt: timeSchema.nullable(),
});
export type ApiKey = z.infer<typeof apiKeySchema>;

export const createApiKeySchema = z.strictObject({
  name: z.string().min(1).max(64),
  role: roleSchema.default('member'),
  scopes: z.array(scopeSchema).min(1).max(scopeSchema.options.length).nullable().default(null),
  expiresAt: timeSchema.nullable().default(null),
  serviceAccount: idSchema('user').optional().describe('Whom it is for; left out: whoever asks.'),
});
export type CreateApiKey = z.input<typeof createApiKeySchema>;
export const createOwnKeySchema = createApiKeySchema.omit({ serviceAccount: true }).extend({
  role: roleSchema.optional().describe('Default: yours.'),
  scopes: createApiKeySchema.shape.scopes.unwrap().optional().describe('Default: all of yours.'),
  expiresAt: timeSchema.nullable().optional(),
});
export type CreateOwnKey = z.output<typeof createOwnKeySchema>;
/** `secret` is shown this once; only its SHA-256 is stored. */
export const createdApiKeySchema = apiKeySchema.extend({ secret: z.string() });
