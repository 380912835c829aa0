import { z } from 'zod';
import { type CombinationCertificate, type ParityThresholds } from './parity';

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

const exact = { reference: 'method', thresholds: { klMean: 0.0001, agreement: 0.999 } } as const;

/**
 * What a result is held against, and what it has to reach where nothing else is asked for. `cat` and `svd` are to be the sum, svd as nearly as its
 * rank allows; the others leave out or mix values by design, and are to be what they say.
 */
export const combinationParity: Readonly<
  Record<CombineMethod, { reference: CombinationCertificate['reference']; thresholds: ParityThresholds }>
> = {
  cat: { ...exact, reference: 'sum' },
  svd: { reference: 'sum', thresholds: { klMean: 0.05, agreement: 0.9 } },
  linear: exact,
  ties: exact,
  dare_linear: exact,
  dare_ties: exact,
  magnitude_prune: exact,
};
