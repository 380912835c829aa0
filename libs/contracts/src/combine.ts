import { z } from 'zod';

/** PEFT's ways to make one adapter of several. */
export const combineMethodSchema = z.enum([
  'linear',
  'cat',
  'svd',
  'ties',
  'dare_linear',
  'dare_ties',
  'magnitude_prune',
]);
export type CombineMethod = z.infer<typeof combineMethodSchema>;

export const combineShape = {
  method: combineMethodSchema.default('cat'),
  /** Of the result of `svd`; null: the highest of the adapters. */
  rank: z.int().min(1).max(512).nullable().default(null),
  /** Share of values that ties, dare_linear, dare_ties and magnitude_prune keep, above 0. */
  density: z.number().gt(0).max(1).default(0.5),
  /** The sign that ties keeps: of the sum of values, or of most of them. */
  majoritySign: z.enum(['total', 'frequency']).default('total'),
  /** Of what dare_linear and dare_ties leave out. */
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
};

export const combineSettingsSchema = z.object({
  ...combineShape,
  /** One for each adapter; may be negative. */
  weights: z.array(z.number()).min(1),
});
export type CombineSettings = z.output<typeof combineSettingsSchema>;
