import { z } from 'zod';
import { aliasSchema } from './alias';
import { storedFileSchema } from './base-model';
import { idSchema, nameSchema, sha256Schema, timeSchema } from './ids';
import { recipeSchema } from './recipe';

export const versionMetricsSchema = z.object({
  steps: z.int().nonnegative(),
  /** Of those, steps whose update was discarded because loss or gradient was not finite. */
  skippedSteps: z.int().nonnegative().default(0),
  /** Times that training diverged and went back to a checkpoint with half of the learning rate. */
  rollbacks: z.int().nonnegative().default(0),
  trainedTokens: z.int().nonnegative(),
  /** Mean of the objective over the last tenth of the steps; this and the others as in jobMetricSchema. null: it was combined, not trained. */
  trainLoss: z.number().nullable(),
  /** Held-out loss of the bare base and of the adapter; null without an eval split. */
  evalLossBefore: z.number().nullable(),
  evalLossAfter: z.number().nullable(),
  evalAccuracyBefore: z.number().nullable(),
  evalAccuracyAfter: z.number().nullable(),
  seconds: z.number().nonnegative(),
  peakMemoryBytes: z.int().nonnegative(),
});
export type VersionMetrics = z.infer<typeof versionMetricsSchema>;

/** What a trainer publishes: written last, under a key that only one writer can win. The version's row repeats it. */
export const manifestSchema = z.object({
  format: z.literal(1),
  jobId: idSchema('job'),
  epoch: z.int().positive(),
  adapter: nameSchema,
  baseModel: z.object({ id: idSchema('baseModel'), name: nameSchema, revision: z.string() }),
  dataset: z.object({ id: idSchema('dataset'), sha256: sha256Schema }),
  recipe: recipeSchema,
  /** SHA-256 of the chat template text that the data were rendered with. */
  templateSha256: sha256Schema,
  metrics: versionMetricsSchema,
  files: z.array(storedFileSchema).min(1),
});
export type Manifest = z.infer<typeof manifestSchema>;

export const adapterVersionSchema = z.object({
  id: idSchema('version'),
  adapter: nameSchema,
  /** 1 for v1. */
  number: z.int().positive(),
  jobId: idSchema('job'),
  baseModel: z.object({ id: idSchema('baseModel'), name: nameSchema, revision: z.string() }),
  dataset: z.object({ id: idSchema('dataset'), sha256: sha256Schema }),
  recipe: recipeSchema,
  templateSha256: sha256Schema,
  metrics: versionMetricsSchema,
  files: z.array(storedFileSchema),
  /** 40 hexadecimal digits over the files, as a base model's: the commit that Hugging Face's clients see. */
  revision: z.string().regex(/^[0-9a-f]{40}$/),
  bytes: z.int().nonnegative(),
  createdAt: timeSchema,
});
export type AdapterVersion = z.infer<typeof adapterVersionSchema>;

/** A word that adapters are found by. */
export const tagSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._:-]{0,39}$/, "must be up to 40 lower-case letters, digits, '.', '_', ':' or '-'");

const describedShape = {
  /** A sentence or two for lists. */
  description: z.string().trim().max(1000),
  tags: z
    .array(tagSchema)
    .max(32)
    .transform((tags) => [...new Set(tags)].sort()),
};

export const adapterSchema = z.object({
  id: idSchema('adapter'),
  name: nameSchema,
  baseModel: nameSchema,
  description: z.string(),
  tags: z.array(z.string()),
  /** By name. */
  aliases: z.array(aliasSchema.pick({ name: true, version: true })),
  /** Highest published version. */
  latestVersion: z.int().positive().nullable(),
  createdAt: timeSchema,
  updatedAt: timeSchema,
});
export type Adapter = z.infer<typeof adapterSchema>;

export const describeAdapterSchema = z
  .strictObject({
    ...describedShape,
    /** Markdown instead of the generated card; null: the generated one again. */
    card: z.string().max(200_000).nullable(),
  })
  .partial();
export type DescribeAdapter = z.output<typeof describeAdapterSchema>;

/** What there is to read about an adapter, as Markdown. */
export const adapterCardSchema = z.object({
  text: z.string(),
  /** Whether it is made from versions, metrics and lineage, rather than written by somebody. */
  isGenerated: z.boolean(),
});
export type AdapterCard = z.infer<typeof adapterCardSchema>;
