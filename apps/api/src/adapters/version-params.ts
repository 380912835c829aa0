import { nameSchema, versionRefSchema } from '@lowrank/contracts';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';

export class AdapterParams extends createZodDto(z.object({ name: nameSchema })) {}
export class VersionParams extends createZodDto(z.object({ name: nameSchema, version: versionRefSchema })) {}
/** Whose adapter it is: names of adapters are their team's. */
export const ownerQuerySchema = z.object({
  team: z.string().min(1).max(200).optional().describe('Name of the team that shares it; left out: yours.'),
});
export class OwnerQuery extends createZodDto(ownerQuerySchema) {}
