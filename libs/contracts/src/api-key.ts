import { z } from 'zod';
import { idSchema, timeSchema } from './ids';

/** `admin` may do everything; `member` works with jobs, datasets and adapters of its team. */
export const apiKeyRoleSchema = z.enum(['admin', 'member']);
export type ApiKeyRole = z.infer<typeof apiKeyRoleSchema>;

export const apiKeySchema = z.object({
  id: idSchema('apiKey'),
  teamId: idSchema('team'),
  name: z.string(),
  role: apiKeyRoleSchema,
  /** First characters of the key, to recognise it by. */
  hint: z.string(),
  createdAt: timeSchema,
  revokedAt: timeSchema.nullable(),
});
export type ApiKey = z.infer<typeof apiKeySchema>;

export const createApiKeySchema = z.strictObject({
  name: z.string().min(1).max(64),
  role: apiKeyRoleSchema.default('member'),
});
/** `secret` is shown this once; only its SHA-256 is stored. */
export const createdApiKeySchema = apiKeySchema.extend({ secret: z.string() });
