import { z } from 'zod';
import { metadataSchema } from './job';
import { recipeSchema } from './recipe';

/* Bodies of OpenAI's API, as its clients of 2026 send and read them (https://platform.openai.com/docs/api-reference). Times are Unix seconds. */

const timestampSchema = z.int().nonnegative();

/** `auto` and null leave it to the recipe, as if it were not there. */
const automatic = <T extends z.ZodType>(schema: T) => z.union([z.literal('auto'), schema]).nullish();

const hyperparametersShape = {
  /** Passes over the data. */
  n_epochs: automatic(z.number().positive().max(1000)),
  /** Packed rows that one optimizer step learns from. */
  batch_size: automatic(z.int().min(1).max(1024)),
  /** The learning rate over the recipe's. */
  learning_rate_multiplier: automatic(z.number().positive().max(10_000)),
};
const supervisedSchema = z.strictObject(hyperparametersShape).nullish();
const preferenceSchema = z
  .strictObject({
    ...hyperparametersShape,
    /** How far answers may move away from the base model's: lower is further. */
    beta: automatic(z.number().positive().max(100)),
  })
  .nullish();
export type OpenAiHyperparameters = NonNullable<z.output<typeof preferenceSchema>>;

export const createFineTuningJobSchema = z.strictObject({
  model: z.string().min(1).max(200).describe('Name of a base model, or of a version to go on from.'),
  training_file: z.string().min(1).max(64).describe('Id of an uploaded file.'),
  suffix: z
    .string()
    .min(1)
    .max(64)
    .nullish()
    .describe(
      "The adapter's name, in lower case. Default: that of the version to go on from, or the base model's and '-ft'.",
    ),
  method: z
    .discriminatedUnion('type', [
      z.strictObject({
        type: z.literal('supervised'),
        supervised: z.strictObject({ hyperparameters: supervisedSchema }).nullish(),
      }),
      z.strictObject({
        type: z.literal('dpo'),
        dpo: z.strictObject({ hyperparameters: preferenceSchema }).nullish(),
      }),
    ])
    .nullish(),
  hyperparameters: supervisedSchema.describe('The old place of the hyperparameters of `supervised`.'),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullish(),
  metadata: metadataSchema.nullish(),
  validation_file: z
    .string()
    .min(1)
    .max(64)
    .nullish()
    .describe(
      'Id of an uploaded file to evaluate on. Default: rows held out of the training file, as many as qlora.evaluation.fraction says.',
    ),
  integrations: z.array(z.never('no integration is known here')).nullish(),
  qlora: z
    .record(z.string(), z.unknown())
    .nullish()
    .describe('A recipe, as of POST /api/v1/jobs: what hyperparameters do not say.'),
});
export type CreateFineTuningJob = z.output<typeof createFineTuningJobSchema>;

const usedHyperparametersSchema = z.object({
  n_epochs: z.number(),
  batch_size: z.int(),
  learning_rate_multiplier: z.number(),
  beta: z.number().optional(),
});
export const fineTuningJobSchema = z.object({
  id: z.string(),
  object: z.literal('fine_tuning.job'),
  created_at: timestampSchema,
  finished_at: timestampSchema.nullable(),
  model: z.string(),
  /** Name of the version that it has published. */
  fine_tuned_model: z.string().nullable(),
  organization_id: z.string(),
  status: z.enum(['queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled']),
  hyperparameters: usedHyperparametersSchema,
  /** null: an objective that OpenAI's API has no name for; `qlora` says which. */
  method: z
    .object({
      type: z.enum(['supervised', 'dpo']),
      supervised: z.object({ hyperparameters: usedHyperparametersSchema }).optional(),
      dpo: z.object({ hyperparameters: usedHyperparametersSchema }).optional(),
    })
    .nullable(),
  training_file: z.string(),
  validation_file: z.string().nullable(),
  result_files: z.array(z.string()),
  seed: z.int(),
  trained_tokens: z.int().nonnegative().nullable(),
  error: z.object({ code: z.string(), message: z.string(), param: z.string().nullable() }).nullable(),
  integrations: z.array(z.unknown()),
  metadata: metadataSchema,
  /** By the pace since it started; null: not known yet, or it does not train now. */
  estimated_finish: timestampSchema.nullable(),
  /** The whole recipe, every field decided. */
  qlora: recipeSchema,
});
export type FineTuningJob = z.input<typeof fineTuningJobSchema>;

export const fineTuningEventSchema = z.object({
  id: z.string(),
  object: z.literal('fine_tuning.job.event'),
  created_at: timestampSchema,
  level: z.enum(['info', 'warn', 'error']),
  message: z.string(),
  type: z.enum(['message', 'metrics']),
  data: z.record(z.string(), z.unknown()).nullable(),
});
export type FineTuningEvent = z.infer<typeof fineTuningEventSchema>;

export const fineTuningCheckpointSchema = z.object({
  id: z.string(),
  object: z.literal('fine_tuning.job.checkpoint'),
  created_at: timestampSchema,
  fine_tuned_model_checkpoint: z.string(),
  fine_tuning_job_id: z.string(),
  step_number: z.int().nonnegative(),
  metrics: z.object({
    step: z.number(),
    train_loss: z.number().optional(),
    train_mean_token_accuracy: z.number().optional(),
    valid_loss: z.number().optional(),
    valid_mean_token_accuracy: z.number().optional(),
  }),
});
export type FineTuningCheckpoint = z.infer<typeof fineTuningCheckpointSchema>;

/** Seconds after which a file may expire: an hour to 30 days. */
const expirySchema = z.coerce.number().int().min(3600).max(2_592_000);
const onlyPurpose = "must be 'fine-tune': files are for training only";
/** Fields of an upload beside its file. */
export const openAiUploadSchema = z
  .strictObject({
    purpose: z.literal('fine-tune', onlyPurpose),
    'expires_after[anchor]': z.literal('created_at').optional(),
    'expires_after[seconds]': expirySchema.optional(),
  })
  .refine(
    (fields) =>
      (fields['expires_after[anchor]'] === undefined) === (fields['expires_after[seconds]'] === undefined),
    { path: ['expires_after'], error: "needs both anchor ('created_at') and seconds" },
  )
  .transform((fields) => ({ expiresAfter: fields['expires_after[seconds]'] ?? null }));

export const openAiFileSchema = z.object({
  id: z.string(),
  object: z.literal('file'),
  bytes: z.int().nonnegative(),
  created_at: timestampSchema,
  expires_at: timestampSchema.nullable(),
  filename: z.string(),
  purpose: z.literal('fine-tune'),
  /** A file that is not in order is refused when it is uploaded. */
  status: z.literal('processed'),
  status_details: z.null(),
});
export type OpenAiFile = z.infer<typeof openAiFileSchema>;

export const openAiModelSchema = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: timestampSchema,
  owned_by: z.string(),
});
export type OpenAiModel = z.infer<typeof openAiModelSchema>;

export const openAiDeletedSchema = z.object({
  id: z.string(),
  object: z.enum(['file', 'model']),
  deleted: z.literal(true),
});

/** A page; the cursor of the next one is the last id. */
export const openAiPageSchema = <T extends z.ZodType>(item: T) =>
  z.object({ object: z.literal('list'), data: z.array(item), has_more: z.boolean() });
export const openAiPageQuery = (limit: { max: number; default: number }) =>
  z.object({
    after: z.string().max(200).optional(),
    limit: z.coerce.number().int().min(1).max(limit.max).default(limit.default),
  });

export const openAiErrorSchema = z.object({
  error: z.object({
    message: z.string(),
    type: z.enum(['invalid_request_error', 'insufficient_quota', 'rate_limit_exceeded', 'server_error']),
    /** The field at fault. */
    param: z.string().nullable(),
    /** One of docs/errors.md, or of docs/openai.md. */
    code: z.string(),
  }),
});
export type OpenAiError = z.infer<typeof openAiErrorSchema>;
