import { z } from 'zod';
import { nameSchema } from './ids';

const count = z.int().nonnegative();

/** What training makes of the dataset: the trainer's own arithmetic on the real lengths, so `steps` and `tokens` are what it will do. */
export const dataEstimateSchema = z.object({
  /** Rows of the dataset to train on, and rows held out. */
  rows: count,
  heldOutRows: count,
  /** Of both: rows that are cut to sequenceLength, and rows left out, being too long or having nothing to learn within it. */
  truncatedRows: count,
  droppedRows: count,
  /** Conversations to train on, and held out: of a preference two a row. */
  sequences: count,
  heldOutSequences: count,
  packedRows: count,
  /** Share of the packed rows' room that tokens take. */
  fill: z.number().min(0).max(1),
  /** Tokens of one pass over the data, and of those the ones a loss is taken on. */
  tokensPerEpoch: count,
  lossTokensPerEpoch: count,
  stepsPerEpoch: z.int().positive(),
  /** Optimizer steps in all, and the tokens that they train on. */
  steps: z.int().positive(),
  tokens: count,
  lossTokens: count,
  /** How long the sequences are that are trained on: how many have at most `upTo` tokens and more than the entry before. */
  lengths: z.array(z.object({ upTo: z.int().positive(), sequences: count })),
});
export type DataEstimate = z.infer<typeof dataEstimateSchema>;

/** Peak of a trainer's resident memory, bytes. */
export const memoryEstimateSchema = z.object({
  bytes: z.int().positive(),
  /** Of that, what another adapter trained in the same process on the same base does not need again: base, tokenizer, Node itself. */
  sharedBytes: count,
  /** What `bytes` is the sum of, by name; libs/domain/src/preflight/memory/predict.ts says what each is. */
  parts: z.record(z.string(), count),
});
export type MemoryEstimate = z.infer<typeof memoryEstimateSchema>;

/**
 * What a predicted time rests on: finished jobs of that device class on the same base model, on models of a similar size, or on any; or, before
 * there are any, what its workers have measured with a small model.
 */
export const timeBasisSchema = z.enum(['base-model', 'similar-models', 'other-models', 'device']);
export type TimeBasis = z.infer<typeof timeBasisSchema>;

/** A device class that living workers announce. */
export const deviceEstimateSchema = z.object({
  deviceClass: nameSchema,
  workers: z.int().positive(),
  /** Memory of the largest of them for all of its slots, bytes; 0: not known. */
  memoryBytes: count,
  /** Whether the job may and can run on one of them; if not, why. */
  fits: z.boolean(),
  reason: z.string().nullable(),
  /** Seconds of training and evaluating, without fetching and quantizing; null: nothing to tell it from yet. */
  seconds: z.number().nonnegative().nullable(),
  tokensPerSecond: z.number().positive().nullable(),
  basis: timeBasisSchema.nullable(),
  /** How many finished jobs that is. */
  measuredJobs: count,
});
export type DeviceEstimate = z.infer<typeof deviceEstimateSchema>;

/** Whether a server can load the adapter that the recipe makes. */
export const servableSchema = z.object({
  servable: z.boolean(),
  /** Why not, or what it has to be told; null: it loads as it is. */
  reason: z.string().nullable(),
});
export type Servable = z.infer<typeof servableSchema>;

/** By the rules of the releases that docs/preflight.md names. */
export const servabilitySchema = z.object({
  peft: servableSchema,
  vllm: servableSchema,
  lorax: servableSchema,
  llamaCpp: servableSchema,
});
export type Servability = z.infer<typeof servabilitySchema>;

/** Settings that would make a job fit that fits no worker, by path; the others stay. */
export const proposalSchema = z.object({
  changes: z.record(z.string(), z.union([z.number(), z.string(), z.boolean()])),
  /** Peak of memory with them. */
  bytes: z.int().positive(),
});
export type Proposal = z.infer<typeof proposalSchema>;

/** What is known of a job before it runs. What cannot be known is null, and `warnings` say why. */
export const estimateSchema = z.object({
  data: dataEstimateSchema.nullable(),
  memory: memoryEstimateSchema.nullable(),
  /** Floating-point operations of all its steps: what times are compared by. */
  operations: z.number().nonnegative().nullable(),
  devices: z.array(deviceEstimateSchema),
  servability: servabilitySchema,
  /** Empty for a job that fits. */
  proposals: z.array(proposalSchema),
  warnings: z.array(z.string()),
});
export type Estimate = z.infer<typeof estimateSchema>;
