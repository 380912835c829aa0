import {
  type Job,
  type JobState,
  type JobMovePayload,
  type Sweep,
  type SweepEndPayload,
} from '@lowrank/contracts';
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
  const type = `job.${state}` as const;
  const bodies = jobs.map(({ id: jobId, epoch, adapter, baseModel, step, totalSteps, version, error }) => {
    const payload: JobMovePayload = {
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

/** The same of a sweep that is over. */
export function announceEnd(
  { webhooks }: Pick<Repositories, 'webhooks'>,
  teamId: string,
  { id: sweepId, adapter, baseModel, trialCount, promoted }: Sweep,
  { state, at }: { state: SweepEndPayload['data']['state']; at: string },
): Promise<void> {
  const type = `sweep.${state}` as const;
  const data = { sweepId, state, adapter, baseModel: baseModel.name, trialCount, promoted };
  const payload: SweepEndPayload = { type, timestamp: at, data };
  return webhooks.announce(teamId, { type, bodies: [JSON.stringify(payload)], at });
}
