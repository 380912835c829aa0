/**
 * Words that requests and answers are made of and that pages list. They are apart from the schemas, which are made of them, so that a page
 * has them without zod.
 */

/** What somebody may do in a team, least first: each role may do all that those before it may. */
export const roles = ['viewer', 'member', 'admin', 'owner'] as const;

/** What a key can be narrowed to, besides its role; `write` includes `read` of the same. */
export const scopes = [
  'base-models:read',
  'base-models:write',
  'datasets:read',
  'datasets:write',
  'jobs:read',
  'jobs:write',
  'adapters:read',
  'adapters:write',
  'team:read',
  'team:write',
  'keys:read',
  'keys:write',
  'webhooks:read',
  'webhooks:write',
  'audit:read',
  'platform:read',
  'platform:write',
] as const;

export const jobStates = [
  'queued',
  'preparing',
  'running',
  'publishing',
  'succeeded',
  'paused',
  'cancelled',
  'failed',
] as const;
export const finalJobStates: readonly (typeof jobStates)[number][] = ['succeeded', 'cancelled', 'failed'];

export const datasetFormats = ['chat', 'sharegpt', 'prompt-completion', 'alpaca', 'preference'] as const;

/** What is measured of a version. Except for `loss` it is a share of rows. */
export const evaluationMetrics = ['loss', 'exact-match', 'regex', 'json-schema'] as const;

export const jobEventTypes = jobStates.map((state) => `job.${state}` as const);
export const sweepEventTypes = ['sweep.succeeded', 'sweep.failed', 'sweep.cancelled'] as const;
/** What a webhook can be told: that a job has moved to a state, or a sweep is over. */
export const webhookEventTypes = [...jobEventTypes, ...sweepEventTypes] as const;

export const webhookDeliveryStates = ['pending', 'delivered', 'dead'] as const;
