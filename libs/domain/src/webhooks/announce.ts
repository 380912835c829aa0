import { type Job, type JobState, type WebhookEventType, type WebhookPayload } from '@lowrank/contracts';
import { type Repositories } from '../ports/repositories';

/** What webhooks are told of a job. */
export type Announced = Pick<
  Job,
  'id' | 'epoch' | 'adapter' | 'baseModel' | 'step' | 'totalSteps' | 'version' | 'error'
>;

/** Tells the team's webhooks that jobs have moved, in the transaction of the move; `jobs` are as they are afterwards. */
export function announceMove(
  { webhooks }: Pick<Repositories, 'webhooks'>,
  teamId: string,
  jobs: Announced[],
  { state, message, at }: { state: JobState; message: string; at: string },
): Promise<void> {
  const type: WebhookEventType = `job.${state}`;
  const bodies = jobs.map(({ id: jobId, epoch, adapter, baseModel, step, totalSteps, version, error }) => {
    const payload: WebhookPayload = {
      type,
      timestamp: at,
      data: {
        ...{ jobId, state, epoch, adapter, baseModel: baseModel.name, step, totalSteps, version, message },
        error: error && { code: error.code, message: error.message },
      },
    };
    return JSON.stringify(payload);
  });
  return webhooks.announce(teamId, { type, bodies, at });
}
