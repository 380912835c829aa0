import { z } from 'zod';
import { sha256Schema } from './ids';

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
