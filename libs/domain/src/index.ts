export * from './attempts/attempt';
export * from './attempts/claim-attempt';
export {
  type AttemptOutcome,
  endAttempt,
  maxFruitlessAttempts,
  maxMemoryRetries,
} from './attempts/end-attempt';
export * from './attempts/publish-version';
export * from './attempts/report-log';
export * from './attempts/report-progress';
export * from './catalog/add-base-model';
export * from './catalog/add-dataset';
export * from './catalog/delete-dataset';
export { after, before, randomIds, systemClock } from './clock-and-ids';
export { SharedClock } from './shared-clock';
export * from './dispatch/dispatch-outbox';
export * from './dispatch/drain-worker';
export * from './dispatch/overview';
export * from './dispatch/plan';
export * from './dispatch/reconcile';
export * from './dispatch/schedule';
export * from './dispatch/state';
export * from './dispatch/rank';
export * from './dispatch/usage';
export * from './jobs/actions';
export * from './jobs/cancel-job';
export * from './jobs/clone-job';
export * from './jobs/pause-job';
export * from './jobs/prioritize-job';
export * from './jobs/resume-job';
export * from './jobs/retry-job';
export * from './jobs/submit-job';
export * from './keys/authenticate';
export * from './keys/create-api-key';
export * from './keys/revoke-api-key';
export * from './keys/secret';
export * from './not-found';
export { type JobWithInputs, smallBatchTokens, type TrainerLimits } from './parties/companions';
export * from './ports';
export * from './ports/clock';
export * from './ports/job-queue';
export * from './ports/object-store';
export * from './ports/repositories';
export * from './ports/sweeps';
export * from './ports/webhooks';
export * from './preflight/memory/predict';
export * from './recipe/micro-batches';
export * from './recipe/targets';
export * from './state-machine';
export { neededAt, rungsOf } from './sweeps/asha';
export * from './sweeps/control-sweep';
export * from './sweeps/submit-sweep';
export * from './teams/quotas';
export * from './webhooks/deliver';
export * from './webhooks/manage';
export * from './webhooks/signature';
