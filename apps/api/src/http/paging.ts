import { z } from 'zod';
import { pageQuerySchema } from '@lowrank/contracts';
import { createZodDto } from 'nestjs-zod';

export class PageQueryDto extends createZodDto(pageQuerySchema) {}

/** A place in what is numbered in the order that it came in, from a query; no further than Postgres' integers go. */
export const placeInOrder = z.coerce
  .number()
  .int()
  .max(2 ** 31 - 1);
