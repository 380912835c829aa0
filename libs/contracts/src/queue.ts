import { z } from 'zod';
import { idSchema, traceparentSchema } from './ids';

/** Queue that all workers shared before a dispatcher chose among them. Workers go on listening to it; nothing is put there any more. */
export const sharedQueueName = 'jobs';

/** The queue of wake-ups for one worker. Postgres is the truth; losing the queue loses nothing. */
export const workerQueueName = (workerId: string): string => `jobs-${workerId}`;

/** Version of the payloads that this release writes, announced by its workers. It reads this one and the one before. */
export const wakeUpVersion = 2;

const attemptShape = {
  jobId: idSchema('job'),
  /** Number of the attempt that this wake-up is for. */
  epoch: z.int().positive(),
};

/** Ids only. */
export const wakeUpPayloadSchema = z.object({
  v: z.literal(wakeUpVersion),
  ...attemptShape,
  /** The worker that the dispatcher chose. */
  workerId: idSchema('worker'),
  /** Where in a trace it was put into the queue (W3C traceparent). */
  traceparent: traceparentSchema.nullish(),
});
export type WakeUpPayload = z.infer<typeof wakeUpPayloadSchema>;

/** A payload as a worker understands it; `workerId` is null when it comes from before there was a dispatcher, when any worker could take it. */
export const jobWakeUpSchema = z.union([
  wakeUpPayloadSchema.transform(({ v: _version, ...wakeUp }) => wakeUp),
  z
    .object({ v: z.undefined().optional(), ...attemptShape })
    .transform(({ jobId, epoch }) => ({ jobId, epoch, workerId: null })),
]);
export interface JobWakeUp {
  jobId: string;
  epoch: number;
  workerId: string | null;
  traceparent?: string | null;
}
