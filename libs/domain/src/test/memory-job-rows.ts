import { type Job } from '@lowrank/contracts';
import { type JobRecord, type Offer, type WaitingRecord } from '../ports/repositories';
import { type Tables } from './tables';

/** A job's public face. */
export const toJob = ({
  teamId: _teamId,
  fruitlessAttempts: _fruitless,
  memoryRetries: _retries,
  deviceFailures: _devices,
  checkpointStep: _step,
  mirroredStep: _mirrored,
  workerId: _worker,
  heartbeatAt: _at,
  preemptRequested: _preempt,
  queuedAt: _queued,
  rankAt: _rank,
  assignedTo,
  assignedAt: _assigned,
  attemptStartedAt: _attempt,
  host: _host,
  party: _party,
  deviceClass: _class,
  estimatedBytes: _estimated,
  sharedBytes: _shared,
  estimate: _estimate,
  traceparent: _trace,
  ...job
}: Tables['jobs'][number]): Job => ({
  ...job,
  waitingFor: job.state === 'queued' && assignedTo === null ? job.waitingFor : null,
});

/** Whether two jobs could be trained together, as far as Postgres is asked. */
export const isAlike = (job: JobRecord, like: JobRecord): boolean =>
  job.id !== like.id &&
  job.work.kind === 'train' &&
  job.teamId === like.teamId &&
  job.baseModel.id === like.baseModel.id &&
  job.priority === like.priority;

/** Whether an offer has room for a job. */
export function suits({ placement, estimatedBytes }: JobRecord, offer: Offer): boolean {
  const bytes = placement.memoryBytes ?? estimatedBytes;
  return (
    (placement.deviceClasses?.includes(offer.deviceClass) ?? true) &&
    (offer.roomBytes === null || (bytes === null ? offer.hasShare : bytes <= offer.roomBytes))
  );
}

/** What the dispatcher is told of a job that waits. */
export const toWaiting = ({ id, epoch, teamId, priority, placement, ...job }: JobRecord): WaitingRecord => ({
  ...{ id, epoch, teamId, priority, placement },
  ...{ estimatedBytes: job.estimatedBytes, sharedBytes: job.sharedBytes },
  ...{ queuedAt: job.queuedAt, rankAt: job.rankAt, host: job.host, waitingFor: job.waitingFor },
});
