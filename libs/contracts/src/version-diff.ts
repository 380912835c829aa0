import { z } from 'zod';
import { measureSchema } from './evaluation';
import { sha256Schema } from './ids';
import { versionNameSchema } from './lineage';

/** A field that two versions have differently; null where one has none. */
export const fieldDiffSchema = z.object({ path: z.string(), from: z.unknown(), to: z.unknown() });
export type FieldDiff = z.infer<typeof fieldDiffSchema>;

export const metricDiffSchema = z.object({
  name: z.string(),
  from: z.number().nullable(),
  to: z.number().nullable(),
  /** to − from; null where one of them is. */
  change: z.number().nullable(),
});

/** What both were measured by, alike: on the same rows, by the same settings. */
export const evaluationDiffSchema = z.object({
  dataset: z.object({ filename: z.string(), sha256: sha256Schema }),
  measure: measureSchema,
  from: z.number(),
  to: z.number(),
  /** to − from. */
  change: z.number(),
});
export type EvaluationDiff = z.infer<typeof evaluationDiffSchema>;

const contentSchema = z.object({ sha256: sha256Schema, bytes: z.int().nonnegative() });
export const fileDiffSchema = z.object({
  path: z.string(),
  status: z.enum(['same', 'changed', 'added', 'removed']),
  from: contentSchema.nullable(),
  to: contentSchema.nullable(),
});
export type FileDiff = z.infer<typeof fileDiffSchema>;

/** What differs between two versions. */
export const versionDiffSchema = z.object({
  from: versionNameSchema,
  to: versionNameSchema,
  /** What they were made from, where that differs: base model, dataset, chat template, parents. */
  source: z.array(fieldDiffSchema),
  /** Fields of the recipes that differ, e.g. `lora.rank`. */
  recipe: z.array(fieldDiffSchema),
  /** All metrics, also those that are equal. */
  metrics: z.array(metricDiffSchema),
  /** Of each measure that both were measured by, the newest results. */
  evaluations: z.array(evaluationDiffSchema),
  /** All files of both, by path. */
  files: z.array(fileDiffSchema),
});
export type VersionDiff = z.infer<typeof versionDiffSchema>;
