import { nameSchema, versionRefSchema } from '@lowrank/contracts';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';

export class AdapterParams extends createZodDto(z.object({ name: nameSchema })) {}
export class VersionParams extends createZodDto(z.object({ name: nameSchema, version: versionRefSchema })) {}
