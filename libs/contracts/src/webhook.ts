import { z } from 'zod';
import { errorCodeSchema } from './errors';
import { idSchema, nameSchema, timeSchema } from './ids';
import { jobStateSchema } from './job';
import { sweepStateSchema } from './sweep';
import { jobEventTypes, sweepEventTypes, webhookDeliveryStates, webhookEventTypes } from './words';

const endedSweepSchema = sweepStateSchema.exclude(['running']);
const jobEventTypeSchema = z.enum(jobEventTypes);
const sweepEventTypeSchema = z.enum(sweepEventTypes);
export const webhookEventTypeSchema = z.enum(webhookEventTypes);
export type WebhookEventType = z.infer<typeof webhookEventTypeSchema>;

/** What a delivery can be about: a move of a job, or that somebody tries whether deliveries arrive. */
export const deliveryTypeSchema = z.enum([...webhookEventTypeSchema.options, 'webhook.test']);
export type DeliveryType = z.infer<typeof deliveryTypeSchema>;

export const webhookUrlSchema = z
  .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' })
  .max(2000)
  .refine((text) => {
    const { username, password, hash } = URL.canParse(text)
      ? new URL(text)
      : { username: '', password: '', hash: '' };
    return username === '' && password === '' && hash === '';
  }, 'must have no user, password or fragment');

const shape = {
  url: webhookUrlSchema,
  /** What it is told; everything unless given. */
  events: z
    .array(webhookEventTypeSchema)
    .min(1)
    .max(webhookEventTypeSchema.options.length)
    .transform((events) => [...new Set(events)]),
  /** One that is not enabled gets nothing; what it has yet to get waits. */
  enabled: z.boolean(),
};

export const createWebhookSchema = z.strictObject({
  url: shape.url,
  events: shape.events.default([...webhookEventTypeSchema.options]),
});
export type CreateWebhook = z.output<typeof createWebhookSchema>;
export const changeWebhookSchema = z.strictObject(shape).partial();
export type ChangeWebhook = z.output<typeof changeWebhookSchema>;

export const webhookSchema = z.object({
  id: idSchema('webhook'),
  url: z.string(),
  events: z.array(webhookEventTypeSchema),
  enabled: z.boolean(),
  createdAt: timeSchema,
});
export type Webhook = z.infer<typeof webhookSchema>;
/** `secret` signs deliveries, as Standard Webhooks has it: `whsec_` and base64. It is shown this once. */
export const createdWebhookSchema = webhookSchema.extend({ secret: z.string() });

export const webhookDeliveryStateSchema = z.enum(webhookDeliveryStates);
export type WebhookDeliveryState = z.infer<typeof webhookDeliveryStateSchema>;

export const webhookDeliverySchema = z.object({
  /** The header `webhook-id` of every try: by it a receiver knows what it has had already. */
  id: idSchema('delivery'),
  type: deliveryTypeSchema,
  state: webhookDeliveryStateSchema,
  /** Tries so far. */
  attempts: z.int().nonnegative(),
  /** When it is tried next; null when it is not. */
  nextAttemptAt: timeSchema.nullable(),
  /** HTTP status of the last answer, and what went wrong. */
  lastStatus: z.int().nullable(),
  lastError: z.string().nullable(),
  createdAt: timeSchema,
  finishedAt: timeSchema.nullable(),
});
export type WebhookDelivery = z.infer<typeof webhookDeliverySchema>;

/** The body of a delivery, as Standard Webhooks has it: of a job's move. */
export const jobMovePayloadSchema = z.object({
  type: jobEventTypeSchema,
  /** When it happened. */
  timestamp: timeSchema,
  data: z.object({
    jobId: idSchema('job'),
    state: jobStateSchema,
    epoch: z.int().positive(),
    adapter: nameSchema,
    baseModel: nameSchema,
    step: z.int().nonnegative(),
    totalSteps: z.int().positive().nullable(),
    /** The version that was published. */
    version: z.int().positive().nullable(),
    error: z.object({ code: errorCodeSchema, message: z.string() }).nullable(),
    /** The event of the job's history. */
    message: z.string(),
  }),
});
export type JobMovePayload = z.infer<typeof jobMovePayloadSchema>;

/** The same of a sweep's end. */
export const sweepEndPayloadSchema = z.object({
  type: sweepEventTypeSchema,
  timestamp: timeSchema,
  data: z.object({
    sweepId: idSchema('sweep'),
    state: endedSweepSchema,
    adapter: nameSchema,
    baseModel: nameSchema,
    trialCount: z.int().positive(),
    /** The trial that was promoted, and the version that it became. */
    promoted: z.object({ trial: z.int().positive(), version: z.int().positive() }).nullable(),
  }),
});
export type SweepEndPayload = z.infer<typeof sweepEndPayloadSchema>;

/** The same of a test. */
export const webhookTestPayloadSchema = z.object({
  type: z.literal('webhook.test'),
  timestamp: timeSchema,
  data: z.object({ webhookId: idSchema('webhook') }),
});
export type WebhookTestPayload = z.infer<typeof webhookTestPayloadSchema>;

export const webhookPayloadSchema = z.discriminatedUnion('type', [
  jobMovePayloadSchema,
  sweepEndPayloadSchema,
  webhookTestPayloadSchema,
]);
