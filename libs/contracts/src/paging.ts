import { z } from 'zod';

/** Lists are newest first; `after` is the last id of the page before. */
export const pageQuerySchema = z.object({
  after: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export type PageQuery = z.infer<typeof pageQuerySchema>;

export const pageSchema = <T extends z.ZodType>(item: T) =>
  z.object({ data: z.array(item), hasMore: z.boolean() });
export interface Page<T> {
  data: T[];
  hasMore: boolean;
}
