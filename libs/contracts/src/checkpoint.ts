import { z } from 'zod';
import { sha256Schema, timeSchema } from './ids';

/**
 * Name of the file of a checkpoint that says what is in the others. It is written last and removed first: without it there is no
 * checkpoint.
 */
export const checkpointMetaFile = 'meta.json';

export const checkpointMetaSchema = z.object({
  format: z.literal(1),
  /** What the run is of: a checkpoint of another recipe, dataset or base does not load. */
  run: z.string(),
  /** SHA-256 of every other file, by name. */
  files: z.record(z.string().regex(/^[a-z]+\.[a-z]+$/), sha256Schema),
});
export type CheckpointMeta = z.infer<typeof checkpointMetaSchema>;

/** A state of a job's adapter that is kept as it can be published. */
export const jobCheckpointSchema = z.object({
  step: z.int().positive(),
  at: timeSchema,
  trainedTokens: z.int().nonnegative(),
  /** Objective of that step, and on the rows held out after it; null: there was no evaluation. */
  trainLoss: z.number().nullable(),
  evalLoss: z.number().nullable(),
  evalAccuracy: z.number().nullable(),
  /** Of all that are kept it has the lowest loss on the rows held out. */
  isBest: z.boolean(),
  /** Of the files that are published. */
  bytes: z.int().nonnegative(),
  /** Number of the version of the job's adapter that it was made; null: it is none. */
  version: z.int().positive().nullable(),
});
export type JobCheckpoint = z.infer<typeof jobCheckpointSchema>;

/** The newest first. */
export const jobCheckpointsSchema = z.object({ data: z.array(jobCheckpointSchema) });

/** What names a job's checkpoint where a version's number or an alias would stand: `captain@job_…-step-50`. */
export const checkpointRef = (jobId: string, step: number): string => `${jobId}-step-${step}`;
/** The job and the step that such a reference names; null: it is none. */
export function readCheckpointRef(text: string): { jobId: string; step: number } | null {
  const [, jobId, step] = /^(job_[a-z2-7]{24})-step-([1-9]\d{0,8})$/.exec(text) ?? [];
  return jobId === undefined ? null : { jobId, step: Number(step) };
}
