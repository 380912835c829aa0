import { z } from 'zod';
import { manifestSchema } from './adapter';
import { storedFileSchema } from './base-model';
import { datasetFormatSchema } from './dataset';
import { errorCodeSchema } from './errors';
import { idSchema, nameSchema, sha256Schema, traceparentSchema } from './ids';
import { versionNameSchema } from './lineage';
import { jobMetricSchema, jobSampleSchema, logLevelSchema } from './job';
import { evaluationManifestSchema } from './evaluation';
import { exportManifestSchema } from './export';
import { recipeSchema } from './recipe';
import { training, workSchema } from './work';

/** Everything that a trainer needs to know of one attempt. */
const datasetSourceSchema = z.object({
  id: idSchema('dataset'),
  sha256: sha256Schema,
  format: datasetFormatSchema,
});

export const assignmentSchema = z.object({
  jobId: idSchema('job'),
  epoch: z.int().positive(),
  work: workSchema.default(training),
  adapter: nameSchema,
  baseModel: z.object({
    id: idSchema('baseModel'),
    name: nameSchema,
    /** `owner/name` or folder name, for adapter_config.json. */
    source: z.string(),
    revision: z.string(),
    files: z.array(storedFileSchema),
  }),
  dataset: datasetSourceSchema,
  /** What it is evaluated on; null: rows held out of the dataset. */
  validationDataset: datasetSourceSchema.nullable().default(null),
  recipe: recipeSchema,
  /** The version that training starts from, and its files in PEFT's format; null: from none. */
  initFrom: versionNameSchema
    .extend({ files: z.array(storedFileSchema).min(2) })
    .nullable()
    .default(null),
  /** Folder of this job on this worker: checkpoints live here across attempts. */
  jobDir: z.string(),
  /** Step of the last checkpoint that is known to be in the object store; 0: none is. */
  mirroredStep: z.int().nonnegative().default(0),
  /** Folder shared by all trainers of the machine: model files, quantized bases, token caches, all by content. */
  cacheDir: z.string(),
  threads: z.int().positive(),
  /** The worker's span of the attempt; null: nothing is traced. */
  traceparent: traceparentSchema.nullable().default(null),
});
export type Assignment = z.infer<typeof assignmentSchema>;

/** Of one job: stop at the next micro-batch. `cancel` discards, `drain` writes a checkpoint first. */
export const stopSchema = z.object({
  type: z.literal('stop'),
  jobId: idSchema('job'),
  reason: z.enum(['cancel', 'drain']),
});

/** Of one job: its checkpoint of this step, and everything that was reported before it, is written. */
export const writtenSchema = z.object({
  type: z.literal('written'),
  jobId: idSchema('job'),
  step: z.int().nonnegative(),
});

/** Worker → trainer: first the attempts, one of each job, which train together when there are several; later what concerns one of them. */
export const toTrainerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('assign'), assignments: z.array(assignmentSchema).min(1) }),
  stopSchema,
  writtenSchema,
]);
export type ToTrainer = z.infer<typeof toTrainerSchema>;

/** What a trainer tells of a job. The worker writes Postgres; the trainer never does. */
export const jobMessageSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('phase'), phase: z.enum(['preparing', 'running', 'publishing']) }),
  z.object({ type: z.literal('message'), level: z.enum(['info', 'warn', 'error']), message: z.string() }),
  /** A line for the job's log, which nobody has to read: messages are for that. */
  z.object({ type: z.literal('log'), level: logLevelSchema, message: z.string() }),
  z.object({
    type: z.literal('plan'),
    totalSteps: z.int().positive(),
    resumedFromStep: z.int().nonnegative(),
    /** Those that the checkpoint brought along, since nobody had said that they were written. */
    metrics: z.array(jobMetricSchema).optional(),
  }),
  z.object({ type: z.literal('metric'), metric: jobMetricSchema, trainedTokens: z.int().nonnegative() }),
  /** A step is done of which there is nothing else to say. */
  z.object({ type: z.literal('progress'), step: z.int().nonnegative() }),
  z.object({ type: z.literal('checkpoint'), step: z.int().nonnegative(), sha256: sha256Schema }),
  /** The checkpoint of this step is in the object store too. */
  z.object({ type: z.literal('mirrored'), step: z.int().nonnegative() }),
  z.object({ type: z.literal('samples'), step: z.int().nonnegative(), samples: z.array(jobSampleSchema) }),
  /** A state of the adapter that is in the object store as it can be published. */
  z.object({ type: z.literal('kept'), manifest: manifestSchema }),
  // One of these five is the last about a job; the process ends after that of its last job.
  z.object({ type: z.literal('published'), manifest: manifestSchema }),
  z.object({ type: z.literal('exported'), manifest: exportManifestSchema }),
  z.object({ type: z.literal('evaluated'), manifest: evaluationManifestSchema }),
  /** Answers a stop. */
  z.object({ type: z.literal('stopped'), reason: z.enum(['cancel', 'drain']) }),
  z.object({ type: z.literal('failed'), code: errorCodeSchema, message: z.string(), retryable: z.boolean() }),
]);
export type JobMessage = z.infer<typeof jobMessageSchema>;

/** Trainer → worker. */
export const fromTrainerSchema = z.discriminatedUnion('type', [
  /** Sent every few seconds whatever else happens. */
  z.object({ type: z.literal('heartbeat') }),
  z.object({ type: z.literal('job'), jobId: idSchema('job'), message: jobMessageSchema }),
]);
export type FromTrainer = z.infer<typeof fromTrainerSchema>;

/** The program that measures a device → worker; its only message. Operations are those of domain's trainingOperations. */
export const speedReportSchema = z.union([
  z.object({ operationsPerSecond: z.number().positive() }),
  z.object({ operationsPerSecond: z.null(), problem: z.string() }),
]);
export type SpeedReport = z.infer<typeof speedReportSchema>;

/**
 * The program that watches GPUs → worker, again and again: what the driver says of those of the machine. `problem`: why none of them can be
 * used, null: they can. An answer without it that lacks one of before means that this one is gone.
 */
export const gpuReportSchema = z.object({
  gpus: z.array(
    z.object({
      index: z.int().nonnegative(),
      uuid: z.string(),
      name: z.string(),
      /** `9.0` */
      computeCapability: z.string(),
      memory: z.object({ total: z.int().nonnegative(), used: z.int().nonnegative() }),
      utilisationPercent: z.number().nullable(),
      temperature: z.number().nullable(),
    }),
  ),
  /** Those that the driver counts and says nothing of, by their number in its order. */
  failing: z.array(z.object({ index: z.int().nonnegative(), message: z.string() })),
  problem: z.string().nullable(),
});
export type GpuReport = z.infer<typeof gpuReportSchema>;
export type GpuFacts = GpuReport['gpus'][number];
