import { z } from 'zod';
import { aliasNameSchema } from './alias';
import { idSchema, nameSchema, timeSchema } from './ids';

/** That a team may read another's adapter. */
export const grantSchema = z.object({
  id: idSchema('grant'),
  adapter: nameSchema,
  /** Name of the team whose adapter it is. */
  from: z.string(),
  /** Name of the team that may read it. */
  to: z.string(),
  /** The one alias whose version may be read; null: all versions. */
  alias: z.string().nullable(),
  createdAt: timeSchema,
});
export type Grant = z.infer<typeof grantSchema>;

export const createGrantSchema = z.strictObject({
  adapter: nameSchema,
  to: z.string().min(1).max(200).describe('Name of the team that may read it.'),
  alias: aliasNameSchema.nullable().default(null),
});
export type CreateGrant = z.infer<typeof createGrantSchema>;
