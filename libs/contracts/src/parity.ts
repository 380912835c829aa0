import { z } from 'zod';

/** What a result has to reach to be published. */
export const parityThresholdsSchema = z.strictObject({
  /** Most nats that KL(wanted ‖ result) may be on average over tokens. */
  klMean: z.number().nonnegative(),
  /** Least share of tokens for which the likeliest one is the same. */
  agreement: z.number().min(0).max(1),
});
export type ParityThresholds = z.infer<typeof parityThresholdsSchema>;

/** How far a result answers as something else does. */
export const likenessSchema = z.object({
  /** Mean and largest KL(wanted ‖ result) of what is expected next, nats. */
  klMean: z.number().nonnegative(),
  klMax: z.number().nonnegative(),
  /** Share of tokens for which the likeliest one is the same. */
  agreement: z.number().min(0).max(1),
});
export type Likeness = z.infer<typeof likenessSchema>;

/**
 * The rows that answers are compared on: held out while it was trained, all of a validation dataset, or, where nothing was held out, rows that
 * it was trained on, which say less.
 */
export const rowsFromSchema = z.enum(['held-out', 'validation', 'training']);
export type RowsFrom = z.infer<typeof rowsFromSchema>;

/** How far a result answers as it should: what was compared, and what came out. */
export const certificateSchema = likenessSchema.extend({
  rows: z.int().positive(),
  /** Absent: the certificate is of a release that did not say. */
  rowsFrom: rowsFromSchema.optional(),
  tokens: z.int().positive(),
  thresholds: parityThresholdsSchema,
  passed: z.boolean(),
});
export type Certificate = z.infer<typeof certificateSchema>;

/** Of adapters combined into one. */
export const combinationCertificateSchema = certificateSchema.extend({
  /** What the result is held against: the adapters applied together with their weights, or what the method makes of them before it is written. */
  reference: z.enum(['sum', 'method']),
  /** Against the adapters applied together, for information, where the method means something else; null: the certificate is that. */
  sum: likenessSchema.nullable(),
});
export type CombinationCertificate = z.infer<typeof combinationCertificateSchema>;
