import { z } from 'zod';
import { datasetRefSchema } from './dataset';
import { errorCodeSchema } from './errors';
import { estimateSchema } from './estimate';
import { idSchema, nameSchema, sha256Schema, timeSchema } from './ids';
import { combineShape } from './combine';
import { aliasNameSchema, versionRefSchema } from './alias';
import { evaluationSettingsSchema } from './evaluation';
import { exportFormatSchema } from './export';
import { versionNameSchema, versionSelectorSchema } from './lineage';
import { parityThresholdsSchema } from './parity';
import { recipeRequestSchema, recipeSchema } from './recipe';
import { jobStates } from './words';
import { training, workSchema } from './work';

export const jobStateSchema = z.enum(jobStates);
export type JobState = z.infer<typeof jobStateSchema>;

/** Higher goes first. A point is worth ten minutes of waiting in the team's own queue; see docs/fairness.md. */
export const prioritySchema = z.int().min(-100).max(100);

/** Where a job may run. */
export const placementSchema = z.strictObject({
  /** Device classes that workers announce, e.g. `cpu`, `h100`; null: any. */
  deviceClasses: z.array(nameSchema).min(1).max(16).nullable().default(null),
  /** Bytes of the worker's memory that it needs; null: an even share of a slot. */
  memoryBytes: z.int().positive().nullable().default(null),
});
export type Placement = z.output<typeof placementSchema>;

/** When and where a job runs. */
export const schedulingShape = {
  priority: prioritySchema.default(0),
  placement: placementSchema.prefault({}),
  /** Not started before this time; null: at once. */
  notBefore: timeSchema.nullable().default(null),
  /** A job that has not succeeded by this time fails with `deadline_exceeded`; null: it has all the time. */
  deadline: timeSchema.nullable().default(null),
};

const unstorable = 'must be text without NUL and half characters';
const isStorable = (text: string): boolean => !/[\0\p{Surrogate}]/u.test(text);

/** What somebody notes on a job for programs of their own, of which nothing here takes notice: up to 16 texts by name. */
export const metadataSchema = z
  .record(
    z.string().min(1).max(64).refine(isStorable, unstorable),
    z.string().max(512).refine(isStorable, unstorable),
  )
  .refine((notes) => Object.keys(notes).length <= 16, 'must have at most 16 entries');
export type Metadata = z.infer<typeof metadataSchema>;

export const createJobSchema = z.strictObject({
  /** Name or id of a base model. */
  baseModel: z.string().min(1).max(96),
  /** A dataset: its id, or a name and version such as `chats@3`. */
  dataset: datasetRefSchema,
  /** A dataset to evaluate on, as `dataset` names one: all of `dataset` is trained on then, whatever `recipe.evaluation.fraction` says. null: on rows held out of it. */
  validationDataset: datasetRefSchema.nullable().default(null),
  /** Name of the adapter that the result becomes the next version of; made when it does not exist. */
  adapter: nameSchema,
  recipe: recipeRequestSchema.prefault({}),
  /** Version whose weights training starts from, e.g. `support@v3`; the recipe's `lora` is that of the version then. null: from none. */
  initFrom: versionSelectorSchema.nullable().default(null),
  metadata: metadataSchema.default({}),
  ...schedulingShape,
});
export type CreateJobInput = z.input<typeof createJobSchema>;
export type CreateJob = z.output<typeof createJobSchema>;

/** Makes one version of several, by one of PEFT's methods. */
export const createCombinationSchema = z.strictObject({
  /** Name of the adapter that the result becomes the next version of; made when it does not exist. */
  adapter: nameSchema,
  versions: z
    .array(
      z.strictObject({
        adapter: nameSchema,
        version: versionRefSchema.default('latest'),
        /** May be negative; default: 1 over the number of versions. */
        weight: z.number().optional(),
      }),
    )
    .min(2)
    .max(16),
  ...combineShape,
  /** What the result is measured and compared on; default: the rows that the first version's recipe holds out. */
  dataset: datasetRefSchema.optional(),
  /** A dataset of which every row is measured and compared instead; default: the one that the first version was validated on. */
  validationDataset: datasetRefSchema.nullable().default(null),
  /** What the result has to reach to be published; default: by the method, see docs/exports.md. */
  parity: parityThresholdsSchema.partial().prefault({}),
  ...schedulingShape,
});
export type CreateCombinationInput = z.input<typeof createCombinationSchema>;
export type CreateCombination = z.output<typeof createCombinationSchema>;

/** Writes a version in another format. */
export const createExportSchema = z.strictObject({
  format: exportFormatSchema,
  /** Rows that the result is compared on; default: those that the version was trained on. */
  dataset: datasetRefSchema.optional(),
  /** A dataset of which all rows may be compared instead of those held out; default: the one that the version was validated on. */
  validationDataset: datasetRefSchema.nullable().default(null),
  /** What the result has to reach to be published; default: by the format, see docs/exports.md. */
  parity: parityThresholdsSchema.partial().prefault({}),
  ...schedulingShape,
});
export type CreateExportInput = z.input<typeof createExportSchema>;
export type CreateExport = z.output<typeof createExportSchema>;

/** Measures a version: for an alias's gate, or by settings of its own. */
export const createEvaluationSchema = z
  .strictObject({
    /** The alias whose gate says what is measured. */
    alias: aliasNameSchema.optional(),
    /** With `alias`: let it stand on the version when the version passes. Needs `adapters:write`. */
    move: z.boolean().default(false),
    /** Instead of `alias`: what is measured, and on which rows; default: those of the dataset that the version was validated on while it was trained. */
    dataset: datasetRefSchema.optional(),
    measures: evaluationSettingsSchema.shape.measures.optional(),
    limits: evaluationSettingsSchema.shape.limits.optional(),
    ...schedulingShape,
  })
  .superRefine(({ alias, move, dataset, measures, limits }, { addIssue }) => {
    const issue = (path: string, message: string) => addIssue({ code: 'custom', path: [path], message });
    if (alias !== undefined) {
      for (const [name, value] of Object.entries({ dataset, measures, limits }))
        if (value !== undefined) issue(name, 'is for the gate of the alias to say');
      return;
    }
    if (move) issue('alias', 'has to say what is to move');
    if (measures === undefined) issue('measures', 'is missing, or `alias` is');
  });
export type CreateEvaluationInput = z.input<typeof createEvaluationSchema>;
export type CreateEvaluation = z.output<typeof createEvaluationSchema>;

/** The same body; nothing is submitted, so that an adapter need not be named yet. */
export const estimateJobSchema = createJobSchema.extend({ adapter: nameSchema.optional() });
export type EstimateJobInput = z.input<typeof estimateJobSchema>;
export type EstimateJob = z.output<typeof estimateJobSchema>;

/** What a clone has other than the job it is made from; the recipe's fields one by one, as far down as they are given. */
export const cloneJobSchema = z.strictObject({
  baseModel: createJobSchema.shape.baseModel.optional(),
  dataset: createJobSchema.shape.dataset.optional(),
  validationDataset: datasetRefSchema.nullable().optional(),
  adapter: createJobSchema.shape.adapter.optional(),
  recipe: z.record(z.string(), z.unknown()).optional(),
  initFrom: versionSelectorSchema.nullable().optional(),
  metadata: metadataSchema.optional(),
  priority: prioritySchema.optional(),
  placement: placementSchema.optional(),
  notBefore: timeSchema.nullable().optional(),
  deadline: timeSchema.nullable().optional(),
});
export type CloneJob = z.output<typeof cloneJobSchema>;

export const prioritizeJobSchema = z.strictObject({ priority: prioritySchema });

/** A trial of a sweep was not among the best at a rung: what it had there, and what it would have needed. */
export const stoppedEarlySchema = z.object({
  rung: z.int().nonnegative(),
  step: z.int().positive(),
  value: z.number(),
  needed: z.number(),
});
export type StoppedEarly = z.infer<typeof stoppedEarlySchema>;

/** What a job remembers of a dataset: the version that it was, though it may be deleted since. */
export const jobDatasetSchema = z.object({
  id: idSchema('dataset'),
  filename: z.string(),
  sha256: sha256Schema,
});

export const jobSchema = z.object({
  id: idSchema('job'),
  /** What it does: `train` unless it says otherwise. */
  work: workSchema.default(training),
  state: jobStateSchema,
  /** Number of the current attempt, from 1. Fences off older ones. */
  epoch: z.int().positive(),
  baseModel: z.object({ id: idSchema('baseModel'), name: nameSchema, revision: z.string() }),
  dataset: jobDatasetSchema,
  /** What it is evaluated on; null: rows held out of its dataset. */
  validationDataset: jobDatasetSchema.nullable().default(null),
  adapter: nameSchema,
  recipe: recipeSchema,
  /** The version whose weights training starts from. */
  initFrom: versionNameSchema.nullable(),
  metadata: metadataSchema,
  /** Optimizer steps done and in all; totalSteps is null until the data are packed. */
  step: z.int().nonnegative(),
  totalSteps: z.int().positive().nullable(),
  /** Tokens trained on so far. */
  trainedTokens: z.int().nonnegative(),
  /** Why a queued job does not start, e.g. that no worker has the memory; null: others come first, or it is not queued. */
  waitingFor: z.string().nullable(),
  cancelRequested: z.boolean(),
  /** Its trainer was asked to write a checkpoint and give its slot back. */
  pauseRequested: z.boolean(),
  priority: prioritySchema,
  placement: placementSchema,
  notBefore: timeSchema.nullable(),
  deadline: timeSchema.nullable(),
  /** Seconds that its attempts have held a slot. */
  deviceSeconds: z.number().nonnegative(),
  /** The job that this one is a clone of. */
  clonedFrom: idSchema('job').nullable(),
  /** The sweep that it is a trial of. */
  sweep: z.object({ id: idSchema('sweep'), trial: z.int().positive() }).nullable(),
  stoppedEarly: stoppedEarlySchema.nullable(),
  /** Number of the version that it has made, e.g. 3 for v3. */
  version: z.int().positive().nullable(),
  error: z.object({ code: errorCodeSchema, message: z.string(), help: z.string() }).nullable(),
  createdAt: timeSchema,
  startedAt: timeSchema.nullable(),
  finishedAt: timeSchema.nullable(),
});
export type Job = z.infer<typeof jobSchema>;

/** One job by itself; lists and streams leave the estimate out. */
export const jobDetailSchema = jobSchema.extend({
  /** What was known when it was submitted; null: it was submitted to a release that made no estimates. */
  estimate: estimateSchema.nullable(),
});
export type JobDetail = z.infer<typeof jobDetailSchema>;

export const jobEventSchema = z.object({
  /** Ascending within a job. */
  seq: z.int().positive(),
  at: timeSchema,
  epoch: z.int().nonnegative(),
  level: z.enum(['info', 'warn', 'error']),
  type: z.enum(['state', 'message', 'checkpoint', 'attempt']),
  message: z.string(),
  /** For type `state`: the state moved to. */
  state: jobStateSchema.nullable(),
});
export type JobEvent = z.infer<typeof jobEventSchema>;

/** One optimizer step, or one evaluation (then only step, epochs and the eval fields are set). */
export const jobMetricSchema = z.object({
  step: z.int().nonnegative(),
  at: timeSchema,
  kind: z.enum(['train', 'eval']),
  /**
   * Mean of the objective. `sft`: −log p per token with a loss, nats, of kind `train` with the recipe's label smoothing. `dpo`,
   * `orpo`: per pair.
   */
  loss: z.number(),
  learningRate: z.number().nullable(),
  gradNorm: z.number().nullable(),
  tokensPerSecond: z.number().nullable(),
  /** Passes over the data so far. */
  epochs: z.number(),
  /** `sft`: share of tokens that the arg-max predicts, for evaluations. `dpo`, `orpo`: share of pairs with a positive margin. */
  accuracy: z.number().nullable(),
  /** `dpo`, `orpo`: mean reward of the chosen answer less that of the rejected one; null for `sft`. */
  rewardMargin: z.number().nullable(),
});
export type JobMetric = z.infer<typeof jobMetricSchema>;

/** An answer that a job has given on its way. */
export const jobSampleSchema = z.object({
  /** The rendered conversation up to the answer, special tokens included. */
  prompt: z.string(),
  /** The dataset's own answer; null: the recipe has the prompt. */
  expected: z.string().nullable(),
  /** What the model makes of it, by its likeliest tokens. */
  text: z.string(),
});
export type JobSample = z.infer<typeof jobSampleSchema>;

/** Answers after so many steps; 0: before training. */
export const jobSamplesSchema = z.object({
  step: z.int().nonnegative(),
  at: timeSchema,
  samples: z.array(jobSampleSchema),
});
export type JobSamples = z.infer<typeof jobSamplesSchema>;

const column = z.array(z.number().nullable()).nullable();
/** Metrics of one kind in order of steps, a list for each field; null: the field has no number anywhere. */
export const metricColumnsSchema = z.object({
  step: z.array(z.int().nonnegative()),
  /** Milliseconds since 1970. */
  at: z.array(z.int()),
  loss: z.array(z.number()),
  learningRate: column,
  gradNorm: column,
  tokensPerSecond: column,
  accuracy: column,
  rewardMargin: column,
});
export type MetricColumns = z.infer<typeof metricColumnsSchema>;

/** All metrics of a job by columns: a fifth of the bytes that they have one by one. */
export const jobMetricColumnsSchema = z.object({
  train: metricColumnsSchema,
  eval: metricColumnsSchema,
  /** What the job's stream goes on from, as its `last-event-id`: all events, and the metrics that are not among these. */
  cursor: z.string(),
});
export type JobMetricColumns = z.infer<typeof jobMetricColumnsSchema>;

/** Some of a job's metrics, evenly over its steps: what a small picture of it needs. */
export const jobCurveSchema = z.object({
  job: idSchema('job'),
  /** In order of steps; of each kind the first and the last are there. */
  metrics: z.array(jobMetricSchema),
});
export type JobCurve = z.infer<typeof jobCurveSchema>;
/** Most jobs whose curves are asked for at once. */
export const maxCurves = 50;

/** Longest line of a log that is kept, in characters. */
export const logLineCharacters = 1000;
export const logLevelSchema = z.enum(['debug', 'info', 'warn', 'error']);
export type LogLevel = z.infer<typeof logLevelSchema>;

/** One line of what a job's trainers have logged, or written to their output. */
export const jobLogLineSchema = z.object({
  /** Ascending within a job; a long log keeps its newest lines only, so the first may be above 1. */
  seq: z.int().positive(),
  at: timeSchema,
  /** The attempt that wrote it. */
  epoch: z.int().positive(),
  level: logLevelSchema,
  message: z.string().max(logLineCharacters),
});
export type JobLogLine = z.infer<typeof jobLogLineSchema>;

/** Server-sent events of GET /jobs/:id/stream: event name → data. Ends after a final state. */
export const jobStreamSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('job'), data: jobSchema }),
  z.object({ event: z.literal('event'), data: jobEventSchema }),
  z.object({ event: z.literal('metric'), data: jobMetricSchema }),
  z.object({ event: z.literal('log'), data: jobLogLineSchema }),
]);
export type JobStreamItem = z.infer<typeof jobStreamSchema>;
