import { z } from 'zod';
import { idSchema } from './ids';

/** The one queue there is: wake-ups for workers. Postgres is the truth; losing the queue loses nothing. */
export const jobQueueName = 'jobs';

/** Ids only. Workers must go on parsing the payload of the release before. */
export const jobWakeUpSchema = z.object({
  jobId: idSchema('job'),
  /** Number of the attempt that this wake-up is for. */
  epoch: z.int().positive(),
});
export type JobWakeUp = z.infer<typeof jobWakeUpSchema>;
