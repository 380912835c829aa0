import { type Job, type JobState, type WebhookEventType, type WebhookPayload } from '@lowrank/contracts';
import { type Repositories } from '../ports/repositories';

/** Tells the team's webhooks that a job has moved, in the transaction of the move; `job` is as it is afterwards. */
export function announceMove(
  { webhooks }: Pick<Repositories, 'webhooks'>,
  teamId: string,
  { id: jobId, epoch, adapter, baseModel, step, totalSteps, version, error }: Job,
  { state, message, at }: { state: JobState; message: string; at: string },
): Promise<void> {
  const type: WebhookEventType = `job.${state}`;
  const payload: WebhookPayload = {
    type,
    timestamp: at,
    data: {
      ...{ jobId, state, epoch, adapter, baseModel: baseModel.name, step, totalSteps, version, message },
      error: error && { code: error.code, message: error.message },
    },
  };
  return webhooks.announce(teamId, { type, body: JSON.stringify(payload), at });
}
