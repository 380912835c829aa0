import { z } from 'zod';
import { aliasNameSchema } from './alias';
import { idSchema, nameSchema, sha256Schema, timeSchema } from './ids';

/** Largest JSON schema that answers are held to, as text. */
const schemaCharacters = 32_768;
const patternCharacters = 500;

function isPattern(pattern: string, flags: string): boolean {
  try {
    return new RegExp(pattern, `${flags}u`).source !== '';
  } catch {
    return false;
  }
}

/** What is measured of a version on a dataset. Except for `loss` it is a share of rows, by the greedy answer to each row's prompt. */
export const measureSchema = z.discriminatedUnion('metric', [
  /** Mean of −log p over the assistant's tokens, nats. */
  z.strictObject({ metric: z.literal('loss') }),
  /** The answer is the row's own, but for white space around it. */
  z.strictObject({ metric: z.literal('exact-match'), ignoreCase: z.boolean().default(false) }),
  /** The answer has a match of a JavaScript regular expression, read with the flag `u`. */
  z
    .strictObject({
      metric: z.literal('regex'),
      pattern: z.string().min(1).max(patternCharacters),
      flags: z
        .string()
        .regex(/^i?m?s?$/, "must be of 'i', 'm' and 's', in this order")
        .default(''),
    })
    .refine(({ pattern, flags }) => isPattern(pattern, flags), {
      path: ['pattern'],
      message: 'must be a regular expression of JavaScript with the flag u',
    }),
  /** The answer is JSON, and valid by a schema of draft 2020-12. */
  z
    .strictObject({ metric: z.literal('json-schema'), schema: z.record(z.string(), z.unknown()) })
    .refine(({ schema }) => JSON.stringify(schema).length <= schemaCharacters, {
      path: ['schema'],
      message: `must have ${schemaCharacters} characters of JSON at most`,
    }),
]);
export type Measure = z.output<typeof measureSchema>;
export type EvaluationMetric = Measure['metric'];

const limitsSchema = z.strictObject({
  /** The first rows of the dataset, so many at most. */
  maxRows: z.int().min(1).max(10_000).default(200),
  /** Of one answer. */
  maxTokens: z.int().min(1).max(4096).default(256),
  /** Rows are cut to so many tokens for the loss; longer prompts are not answered, which counts as wrong. */
  sequenceLength: z.int().min(16).max(131_072).default(2048),
});
export type EvaluationLimits = z.output<typeof limitsSchema>;

const mostMeasures = 8;
const datasetShape = z.object({ id: idSchema('dataset'), filename: z.string(), sha256: sha256Schema });

/** What a job measures, on its dataset. */
export const evaluationSettingsSchema = z.object({
  measures: z.array(measureSchema).min(1).max(mostMeasures),
  limits: limitsSchema,
});
export type EvaluationSettings = z.output<typeof evaluationSettingsSchema>;

const directionSchema = z.enum(['at-least', 'at-most']);
/** A measure, and where it has to be. */
export const checkSchema = z.strictObject({
  measure: measureSchema,
  threshold: z.number(),
  direction: directionSchema,
});
export type Check = z.output<typeof checkSchema>;

const createCheckSchema = checkSchema
  .extend({ direction: directionSchema.optional() })
  .transform(({ direction, ...check }): Check => {
    const natural = check.measure.metric === 'loss' ? 'at-most' : 'at-least';
    return { ...check, direction: direction ?? natural };
  })
  .refine(({ measure, threshold }) => measure.metric === 'loss' || (threshold >= 0 && threshold <= 1), {
    path: ['threshold'],
    message: 'must be a share from 0 to 1',
  });

/** What a version has to reach before an alias may stand on it. */
export const gateSchema = z.object({
  adapter: nameSchema,
  alias: aliasNameSchema,
  dataset: datasetShape,
  /** All have to pass. */
  checks: z.array(checkSchema).min(1),
  limits: limitsSchema,
  createdAt: timeSchema,
  /** Who set it: the id of an API key or a user. */
  createdBy: z.string(),
});
export type Gate = z.output<typeof gateSchema>;

export const setGateSchema = z.strictObject({
  /** Rows that versions are measured on. */
  dataset: idSchema('dataset'),
  checks: z
    .array(createCheckSchema)
    .min(1)
    .max(mostMeasures)
    .describe('`direction` is `at-most` for `loss` and `at-least` for the others unless it is given.'),
  limits: limitsSchema.prefault({}),
});
export type SetGateInput = z.input<typeof setGateSchema>;
export type SetGate = z.output<typeof setGateSchema>;

/** A row that did not do, to look at. */
export const evaluatedRowSchema = z.object({
  /** From 1, as in the dataset. */
  row: z.int().positive(),
  /** The beginning of the answer; empty: the prompt was too long to be answered. */
  answer: z.string(),
  problem: z.string(),
});

export const evaluationResultSchema = z.object({
  measure: measureSchema,
  value: z.number(),
  /** How many rows it is a share of; of `loss`: tokens that it is the mean over. */
  count: z.int().positive(),
  /** The first rows that did not do; none of `loss`. */
  failures: z.array(evaluatedRowSchema),
});
export type EvaluationResult = z.output<typeof evaluationResultSchema>;

/** What a trainer publishes of an evaluation, under a key that only one writer can win. */
export const evaluationManifestSchema = z.object({
  format: z.literal(1),
  jobId: idSchema('job'),
  epoch: z.int().positive(),
  versionId: idSchema('version'),
  /** Rows that were measured. */
  rows: z.int().positive(),
  results: z.array(evaluationResultSchema).min(1),
});
export type EvaluationManifest = z.output<typeof evaluationManifestSchema>;

/** What became of the move that was to follow. */
const evaluationMoveSchema = z.object({ alias: aliasNameSchema, isDone: z.boolean(), reason: z.string() });
export type EvaluationMove = z.output<typeof evaluationMoveSchema>;

/** A version measured on a dataset. */
export const evaluationSchema = z.object({
  /** The job that made it. */
  jobId: idSchema('job'),
  adapter: nameSchema,
  /** 3 for v3. */
  version: z.int().positive(),
  dataset: datasetShape,
  limits: limitsSchema,
  rows: z.int().positive(),
  results: z.array(evaluationResultSchema),
  /** null: no move was asked for. */
  move: evaluationMoveSchema.nullable(),
  createdAt: timeSchema,
});
export type Evaluation = z.output<typeof evaluationSchema>;
