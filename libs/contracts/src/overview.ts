import { z } from 'zod';
import { idSchema, timeSchema } from './ids';
import { jobSchema, jobStateSchema, placementSchema, prioritySchema } from './job';
import { drainModeSchema } from './worker';

/** Jobs by state, every state once. */
export const jobCountsSchema = z.array(z.object({ state: jobStateSchema, count: z.int().nonnegative() }));

/** Jobs that wait, by the device class that they ask for, `any` when they ask for none; one that names several counts in each. */
export const queueDepthSchema = z.array(z.object({ deviceClass: z.string(), count: z.int().nonnegative() }));

/** What a team has used and may use; null: no limit. Months are calendar months (UTC). */
export const teamUseSchema = z.object({
  team: z.object({ id: idSchema('team'), name: z.string() }),
  /** In this month, of attempts that have ended. */
  deviceSeconds: z.number().nonnegative(),
  deviceSecondsPerMonth: z.int().nonnegative().nullable(),
  /** Of jobs that run or that have ended in this month, each as a whole. */
  trainedTokens: z.int().nonnegative(),
  /** Jobs that hold a slot, and that wait. */
  running: z.int().nonnegative(),
  maxRunning: z.int().nonnegative().nullable(),
  queued: z.int().nonnegative(),
  maxQueued: z.int().nonnegative().nullable(),
});
export type TeamUse = z.infer<typeof teamUseSchema>;

const part = { id: true, work: true, baseModel: true, adapter: true, sweep: true } as const;
const progress = { state: true, step: true, totalSteps: true, trainedTokens: true, startedAt: true } as const;
const requests = { cancelRequested: true, pauseRequested: true } as const;

/** Most losses of a running job that an overview has. */
export const lossTailLength = 60;

export const runningJobSchema = jobSchema.pick({ ...part, ...progress, ...requests }).extend({
  /** Training losses of its last steps, the oldest first. */
  losses: z.array(z.object({ step: z.int().nonnegative(), loss: z.number() })).max(lossTailLength),
});
export const failedJobSchema = jobSchema.pick({ ...part, error: true, finishedAt: true });

/** How a team's work stands. */
export const overviewSchema = z.object({
  at: timeSchema,
  jobs: jobCountsSchema,
  queued: queueDepthSchema,
  /** Jobs that hold a slot, newest first, up to 20. */
  running: z.array(runningJobSchema),
  /** Jobs that have failed within the last seven days and were not retried, newest first, up to 10. */
  failed: z.array(failedJobSchema),
  use: teamUseSchema,
});
export type TeamOverview = z.infer<typeof overviewSchema>;

/** How the whole installation stands, of all teams together. Device classes that no worker has are summed up as `other`. */
export const platformOverviewSchema = z.object({
  at: timeSchema,
  jobs: jobCountsSchema,
  queued: queueDepthSchema,
  workers: z.array(
    z.object({
      deviceClass: z.string(),
      workers: z.int().nonnegative(),
      slots: z.int().nonnegative(),
      busy: z.int().nonnegative(),
      /** Workers that are drained because their device failed. */
      failed: z.int().nonnegative(),
    }),
  ),
  /** What the dispatcher has yet to carry, and for how long the oldest of it has been waiting, seconds. */
  outbox: z.object({ entries: z.int().nonnegative(), lagSeconds: z.number().nonnegative() }),
  teams: z.array(teamUseSchema),
});
export type PlatformOverview = z.infer<typeof platformOverviewSchema>;

/** A job that waits for a slot, as the operator sees it: whose it is and why it waits, not what it is about. */
export const queuedJobSchema = z.object({
  id: idSchema('job'),
  team: z.object({ id: idSchema('team'), name: z.string() }),
  priority: prioritySchema,
  placement: placementSchema,
  /** Peak of memory by its estimate, bytes; null: not known. */
  estimatedBytes: z.int().nonnegative().nullable(),
  /** Since when it waits, and before when it does not start. */
  queuedAt: timeSchema,
  notBefore: timeSchema.nullable(),
  /** Number of the attempt that it waits for. */
  epoch: z.int().positive(),
  /** Why it would not start though every slot were free; null: others come first. */
  waitingFor: z.string().nullable(),
  /** The worker whose slot the dispatcher has chosen; null: none yet. */
  assignedTo: idSchema('worker').nullable(),
});
export type QueuedJob = z.infer<typeof queuedJobSchema>;

export const queueQuerySchema = z.object({
  after: idSchema('job').optional().describe('The last id of the page before.'),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export type QueueQuery = z.infer<typeof queueQuerySchema>;

/** A page of what waits, the longest waiting first, and what is on its way to workers. */
export const queueInspectionSchema = z.object({
  data: z.array(queuedJobSchema),
  hasMore: z.boolean(),
  outbox: platformOverviewSchema.shape.outbox,
  /** Wake-ups of each worker in the queue: that it has yet to take, and whose attempts run. null: the queue does not answer. */
  wakeUps: z
    .array(
      z.object({
        workerId: idSchema('worker'),
        hostname: z.string(),
        drain: drainModeSchema.nullable(),
        waiting: z.int().nonnegative(),
        active: z.int().nonnegative(),
      }),
    )
    .nullable(),
});
export type QueueInspection = z.infer<typeof queueInspectionSchema>;

/** One of what the installation stands on. */
export const serviceSchema = z.object({
  service: z.enum(['database', 'queue', 'store', 'server']),
  /** What it is, such as `postgres`, `redis sentinel`, `s3`, `folder`. */
  type: z.string(),
  /** Where it is, without credentials. */
  address: z.string(),
  state: z.enum(['ok', 'failing']),
  /** How long the look took, milliseconds. */
  latencyMs: z.number().nonnegative(),
  version: z.string().nullable(),
  /** What it has to say of itself, such as how large it is, or what is wrong. */
  detail: z.string().nullable(),
});
export type Service = z.infer<typeof serviceSchema>;
export const servicesSchema = z.object({ at: timeSchema, data: z.array(serviceSchema) });

/** What this API process was started with. Secrets are `***`. */
export const settingsSchema = z.object({
  version: z.string(),
  node: z.string(),
  settings: z.array(z.object({ name: z.string(), value: z.string().nullable() })),
});

/** Failed or cancelled jobs to queue again, all in one request. */
export const retryJobsSchema = z.strictObject({
  jobs: z
    .array(idSchema('job'))
    .min(1)
    .max(100)
    .refine((ids) => new Set(ids).size === ids.length, 'must not name a job twice'),
});
export const retriedJobsSchema = z.object({
  retried: z.array(jobSchema),
  /** Those that could not be, and why; nothing of them has changed. */
  refused: z.array(z.object({ id: idSchema('job'), code: z.string(), message: z.string() })),
});
export type RetriedJobs = z.infer<typeof retriedJobsSchema>;
