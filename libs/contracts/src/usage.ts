import { z } from 'zod';
import { actorSchema } from './access';
import { idSchema } from './ids';

const count = z.int().nonnegative();

/** Tokens of one answer or of many: of prompts, of those the ones that were in a cache already, and of answers. */
export const tokensSchema = z.object({ prompt: count, cached: count, completion: count });
export type Tokens = z.infer<typeof tokensSchema>;

/** Where a server tells the API what an answer took, as JSON of tokensSchema: a header, or a trailer of a stream. */
export const usageHeader = 'x-lowrank-usage';

const daySchema = z.iso.date().describe('A day of UTC.');

/** What usage can be told apart by. */
export const usageDimensionSchema = z.enum(['day', 'actor', 'model']);
export type UsageDimension = z.infer<typeof usageDimensionSchema>;

export const usageQuerySchema = z
  .strictObject({
    since: daySchema.optional().describe('First day; the first of this month unless it says otherwise.'),
    until: daySchema.optional().describe('Last day; today unless it says otherwise.'),
    by: z
      .string()
      .default('day')
      .transform((text) => [...new Set(text.split(',').map((part) => part.trim()))])
      .pipe(z.array(usageDimensionSchema))
      .describe('What it is told apart by: day, actor, model, or several of these with commas between.'),
  })
  .refine(({ since, until }) => since === undefined || until === undefined || since <= until, {
    path: ['until'],
    message: 'must not be before since',
  });
export type UsageQuery = z.output<typeof usageQuerySchema>;

/** Fields that the usage is not told apart by are null. */
export const usageRowSchema = z.object({
  day: daySchema.nullable(),
  /** Who asked: a key, or a user. */
  actor: actorSchema.nullable(),
  /** `captain@v3`, or a base model. */
  model: z.string().nullable(),
  team: z.object({ id: idSchema('team'), name: z.string() }).nullable(),
  requests: count,
  tokens: tokensSchema,
});
export type UsageRow = z.infer<typeof usageRowSchema>;

export const usageReportSchema = z.object({
  since: daySchema,
  until: daySchema,
  data: z.array(usageRowSchema),
  total: z.object({ requests: count, tokens: tokensSchema }),
});
export type UsageReport = z.infer<typeof usageReportSchema>;
