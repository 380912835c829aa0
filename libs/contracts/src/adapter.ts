import { z } from 'zod';
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
  /** Mean of the objective over the last tenth of the steps; this and the others as in jobMetricSchema. */
  trainLoss: z.number(),
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
  bytes: z.int().nonnegative(),
  createdAt: timeSchema,
});
export type AdapterVersion = z.infer<typeof adapterVersionSchema>;

export const adapterSchema = z.object({
  id: idSchema('adapter'),
  name: nameSchema,
  baseModel: nameSchema,
  /** Highest published version. */
  latestVersion: z.int().positive().nullable(),
  createdAt: timeSchema,
  updatedAt: timeSchema,
});
export type Adapter = z.infer<typeof adapterSchema>;
