import { pageQuerySchema } from '@lowrank/contracts';
import { createZodDto } from 'nestjs-zod';

export class PageQueryDto extends createZodDto(pageQuerySchema) {}
