import { type Job } from '@lowrank/contracts';
import { type JobRecord } from '../ports/repositories';
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
