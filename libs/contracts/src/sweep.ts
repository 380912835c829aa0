import { z } from 'zod';
import { idSchema, nameSchema, sha256Schema, timeSchema } from './ids';
import {
  createJobSchema,
  jobDatasetSchema,
  jobStateSchema,
  schedulingShape,
  stoppedEarlySchema,
} from './job';
import { evaluationPointSchema } from './recipe';

/** Most trials of a sweep. They are queued together, and their table is shown as a whole. */
export const maxTrials = 256;

/** `section.field` of a recipe. */
const fieldPattern = /^[a-z]+\.[a-z]\w*$/i;

const rangeSchema = z
  .strictObject({
    min: z.number(),
    max: z.number(),
    /** `log`: as likely to be between 0.001 and 0.01 as between 0.01 and 0.1. */
    scale: z.enum(['linear', 'log']).default('linear'),
    /** Whole numbers only, both ends included. */
    integer: z.boolean().default(false),
  })
  .refine(({ min, max }) => min < max, { path: ['max'], error: 'must be above min' })
  .refine(({ min, scale }) => scale === 'linear' || min > 0, {
    path: ['min'],
    error: "must be above 0 for the scale 'log'",
  })
  .refine(({ min, max, integer }) => !integer || Math.ceil(min) <= Math.floor(max), {
    path: ['max'],
    error: 'leaves no whole number',
  });

/** What a field can be: one of some values, or anything of a range. */
export const dimensionSchema = z.union([
  z.strictObject({ values: z.array(z.unknown()).min(1).max(maxTrials) }),
  rangeSchema,
]);
export type Dimension = z.output<typeof dimensionSchema>;

const drawnShape = {
  /** How many are drawn. Fewer are run when the space has no more. */
  trials: z.int().min(1).max(maxTrials),
  /** The same seed draws the same trials. */
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(42),
};

export const sweepMethodSchema = z.discriminatedUnion('type', [
  /** Every combination of values. */
  z.strictObject({ type: z.literal('grid') }),
  z.strictObject({ type: z.literal('random'), ...drawnShape }),
  /**
   * Asynchronous successive halving (Li et al. 2020) by stopping: random trials, of which only the best 1 / reduction go on at each
   * rung. Rung k is after minimum · reduction^k steps.
   */
  z.strictObject({
    type: z.literal('asha'),
    ...drawnShape,
    reduction: z.int().min(2).max(16).default(3),
    /** What every trial gets at least: so many steps or, below 1, that share of all its steps. */
    minimum: evaluationPointSchema.default(0.1),
  }),
]);
export type SweepMethod = z.output<typeof sweepMethodSchema>;
export type Asha = Extract<SweepMethod, { type: 'asha' }>;

/** What trials are compared by, on the rows held out: `loss`, the lower the better; `accuracy`, the higher. */
export const sweepMetricSchema = z.enum(['loss', 'accuracy']);
export type SweepMetric = z.infer<typeof sweepMetricSchema>;

const { baseModel, dataset, validationDataset, adapter, initFrom } = createJobSchema.shape;

export const createSweepSchema = z
  .strictObject({
    baseModel,
    dataset,
    /** What trials are compared on, as in a job: all of this dataset instead of rows held out of the other. */
    validationDataset,
    adapter,
    /** Version whose weights all trials start from, as in a job. */
    initFrom,
    /** What all trials have in common, as in a job; what it leaves out follows from what a trial has. */
    recipe: z.record(z.string(), z.unknown()).default({}),
    /** Field of the recipe, e.g. `lora.rank` → what it can be. */
    space: z.record(z.string(), dimensionSchema),
    method: sweepMethodSchema,
    metric: sweepMetricSchema.default('loss'),
    /** Most trials that have a slot at a time; null: as many as the team gets. */
    maxConcurrent: z.int().min(1).max(maxTrials).nullable().default(null),
    ...schedulingShape,
  })
  .superRefine(({ space, method, metric }, context) => {
    const refuse = (path: string[], message: string) =>
      context.addIssue({ code: 'custom', path: ['space', ...path], message });
    const fields = Object.keys(space);
    if (fields.length === 0 || fields.length > 16) refuse([], 'needs 1 to 16 fields');
    for (const field of fields) {
      const reason = unfit(field, metric);
      if (reason) refuse([field], reason);
    }
    if (method.type !== 'grid') return;
    let combinations = 1;
    for (const [field, dimension] of Object.entries(space))
      if ('values' in dimension) combinations *= dimension.values.length;
      else refuse([field], "needs values: a range has no grid; or choose the method 'random'");
    if (combinations > maxTrials) refuse([], `has ${combinations} combinations; ${maxTrials} are allowed`);
  });
export type CreateSweepInput = z.input<typeof createSweepSchema>;
export type CreateSweep = z.output<typeof createSweepSchema>;

/** Why a field cannot be in a space: what it is, or that trials that differ in it cannot be compared by the metric; null: it can. */
function unfit(field: string, metric: SweepMetric): string | null {
  if (!fieldPattern.test(field)) return "must be a field of the recipe like 'lora.rank'";
  if (field.startsWith('evaluation.') || field === 'training.seed')
    return 'decides which rows are held out, so that trials could not be compared';
  if (field.startsWith('objective.') && metric === 'loss')
    return "changes what the loss is, so that it could not be compared; choose the metric 'accuracy'";
  return null;
}

export const promoteTrialSchema = z.strictObject({ trial: z.int().min(1).max(maxTrials) });

/** `running` until every trial is over. `succeeded`: a trial was promoted; `failed`: none had succeeded. */
export const sweepStateSchema = z.enum(['running', 'succeeded', 'failed', 'cancelled']);
export type SweepState = z.infer<typeof sweepStateSchema>;

export const sweepSchema = z.object({
  id: idSchema('sweep'),
  state: sweepStateSchema,
  baseModel: z.object({ id: idSchema('baseModel'), name: nameSchema, revision: z.string() }),
  dataset: z.object({ id: idSchema('dataset'), filename: z.string(), sha256: sha256Schema }),
  /** What trials are compared on; null: rows held out of the dataset. */
  validationDataset: jobDatasetSchema.nullable(),
  adapter: nameSchema,
  recipe: z.record(z.string(), z.unknown()),
  space: z.record(z.string(), dimensionSchema),
  method: sweepMethodSchema,
  metric: sweepMetricSchema,
  maxConcurrent: z.int().positive().nullable(),
  /** Trials in all, and those that are over. */
  trialCount: z.int().positive(),
  finishedCount: z.int().nonnegative(),
  cancelRequested: z.boolean(),
  /** The trial whose adapter became a version, and the number of that. */
  promoted: z.object({ trial: z.int().positive(), version: z.int().positive() }).nullable(),
  createdAt: timeSchema,
  finishedAt: timeSchema.nullable(),
});
export type Sweep = z.infer<typeof sweepSchema>;

/** What the held-out rows say of an adapter. */
const heldOutSchema = z.object({ loss: z.number(), accuracy: z.number().nullable() });
const evaluationSchema = heldOutSchema.extend({ step: z.int().positive() });

export const sweepTrialSchema = z.object({
  /** From 1. */
  number: z.int().positive(),
  jobId: idSchema('job'),
  /** The fields of the space as this trial has them. */
  parameters: z.record(z.string(), z.unknown()),
  state: jobStateSchema,
  step: z.int().nonnegative(),
  totalSteps: z.int().positive().nullable(),
  /** Of the evaluations after the first step: the last one, and the best by the sweep's metric. */
  latest: evaluationSchema.nullable(),
  best: evaluationSchema.nullable(),
  /** The highest rung that it has been judged at, from 0. */
  rung: z.int().nonnegative().nullable(),
  stoppedEarly: stoppedEarlySchema.nullable(),
  /** After its last step; what the best trial is chosen by. */
  result: heldOutSchema.nullable(),
  /** The version that its adapter was promoted to. */
  version: z.int().positive().nullable(),
});
export type SweepTrial = z.infer<typeof sweepTrialSchema>;

export const sweepWithTrialsSchema = sweepSchema.extend({ trials: z.array(sweepTrialSchema) });
export type SweepWithTrials = z.infer<typeof sweepWithTrialsSchema>;
