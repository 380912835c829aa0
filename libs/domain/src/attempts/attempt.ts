import { type JobWakeUp } from '@lowrank/contracts';
import { hourlySeconds } from '../dispatch/usage';
import { leaveParty } from '../parties/party';
import { type JobPatch, type JobRecord, type Repositories, type UnitOfWork } from '../ports/repositories';
import { isHeld, moveJob } from '../state-machine';

/** Names one attempt: a job and the epoch that fences off all its other attempts. */
export type AttemptRef = Pick<JobWakeUp, 'jobId' | 'epoch'>;

/** Part of a patch: the dispatcher's choice of a worker is void. */
export const notAssigned = { assignedTo: null, assignedAt: null } as const;

/**
 * Runs `work` in one transaction with the job's row locked, if the attempt still holds the job; resolves to null, writing nothing,
 * when it is fenced: the job has moved on to another attempt or to a state that no attempt holds.
 */
export function withAttempt<T>(
  unitOfWork: UnitOfWork,
  { jobId, epoch }: AttemptRef,
  work: (repositories: Repositories, job: JobRecord) => Promise<T>,
): Promise<T | null> {
  return unitOfWork.run(async (repositories) => {
    const job = await repositories.jobs.lock(jobId);
    if (job === null || job.epoch !== epoch || !isHeld(job.state)) return null;
    return work(repositories, job);
  });
}

/**
 * Ends a job's hold of its slot, or its part in that of a party: charges its team with the time, and returns the fields of the job that
 * go with it, for the patch of the move that follows. The caller tells the dispatcher of the free slot, by the outbox.
 */
export async function releaseSlot(
  { teams, parties }: Pick<Repositories, 'teams' | 'parties'>,
  job: JobRecord,
  at: string,
): Promise<JobPatch> {
  const held = job.attemptStartedAt === null ? [] : hourlySeconds(job.attemptStartedAt, at);
  const inAll = held.reduce((sum, { seconds }) => sum + seconds, 0);
  const own = job.party === null ? null : await leaveParty({ parties }, job.party, at);
  const part = own === null || inAll === 0 ? 1 : own / inAll;
  const hours = held.map(({ hour, seconds }) => ({ hour, seconds: seconds * part }));
  await teams.charge(job.teamId, hours);
  return {
    workerId: null,
    heartbeatAt: null,
    attemptStartedAt: null,
    pauseRequested: false,
    preemptRequested: false,
    party: null,
    deviceSeconds: job.deviceSeconds + hours.reduce((sum, { seconds }) => sum + seconds, 0),
  };
}

/** Ends a job whose work has left no version: succeeded, its slot free, and the dispatcher told. */
export async function succeed(
  repositories: Repositories,
  job: JobRecord,
  { at, message }: { at: string; message: string },
): Promise<JobRecord> {
  const moved = await moveJob(repositories, job, 'succeeded', {
    at,
    message,
    patch: {
      step: job.totalSteps ?? job.step,
      finishedAt: at,
      ...(await releaseSlot(repositories, job, at)),
    },
  });
  await repositories.outbox.add({ jobId: job.id, epoch: job.epoch, workerId: null });
  return moved;
}
