import { errorCatalog, type JobWakeUp } from '@lowrank/contracts';
import { accepts, bytesOn } from '../dispatch/board';
import { leftOn, needsOf } from '../dispatch/placed';
import { findCompanions } from '../parties/companions';
import { inputsOf, type JobWithInputs } from '../parties/inputs';
import { type Ports } from '../ports';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { type WorkerRecord } from '../ports/workers';
import { moveJob } from '../state-machine';
import { notAssigned } from './attempt';

/** Everything a worker needs to start a trainer: of the attempt that it was woken for, and of those that train with it. */
export interface ClaimedAttempt extends JobWithInputs {
  companions: JobWithInputs[];
}

/**
 * Takes an attempt for a worker: queued → preparing, in one transaction under the row's lock, so that of any number of wake-ups for
 * the same epoch one claims. Resolves to null when the wake-up is stale: it is another worker's, the job has moved on, or the worker is
 * to take nothing more. A wake-up of before there was a dispatcher names no worker: whoever gets it may take a job that nobody was chosen for
 * if it could be placed there now; otherwise it is left to the dispatcher.
 *
 * The attempt counts as fruitless from here on; its first new checkpoint takes that back. So an attempt that dies without a word is
 * counted too.
 *
 * Where the worker trains several jobs together, queued ones that suit it are claimed with it and share its slot: see findCompanions.
 */
export async function claimAttempt(
  { unitOfWork, clock, ids }: Ports,
  { jobId, epoch, workerId: addressee = null }: Pick<JobWakeUp, 'jobId' | 'epoch'> & Partial<JobWakeUp>,
  workerId: string,
  jobsPerTrainer = 1,
): Promise<ClaimedAttempt | null> {
  const at = clock.now();
  return unitOfWork.run(async (repositories) => {
    const job = await repositories.jobs.lock(jobId);
    if (job === null || job.epoch !== epoch || job.state !== 'queued') return null;
    if (job.assignedTo !== (addressee === null ? null : workerId)) return null;
    const worker = await repositories.workers.find(workerId);
    if (worker !== null && worker.drain !== null) return null;
    if (addressee === null && !(await couldBePlaced(repositories, job, worker, at))) return null;
    const lead = await inputsOf(repositories, job);
    if ('gone' in lead) {
      const message = `${lead.gone} of the job is gone.`;
      const error = { code: 'not_found' as const, message, help: errorCatalog.not_found.help };
      await moveJob(repositories, job, 'failed', {
        at,
        level: 'error',
        message,
        patch: { ...notAssigned, error, finishedAt: at },
      });
      return null;
    }
    const companions =
      worker === null
        ? { jobs: [], memoryBytes: null }
        : await findCompanions(repositories, lead, worker, jobsPerTrainer, at);
    const members = 1 + companions.jobs.length;
    const party = members === 1 ? null : ids.make('party');
    if (party !== null)
      await repositories.parties.insert({
        ...{ id: party, members, clock: 0, clockAt: at },
        memoryBytes: companions.memoryBytes,
      });
    const hold = async (one: JobWithInputs): Promise<JobWithInputs> => ({
      ...one,
      job: await startAttempt(repositories, one.job, { workerId, worker, party, members, at }),
    });
    const claimed = await hold(lead);
    const others: JobWithInputs[] = [];
    for (const one of companions.jobs) others.push(await hold(one));
    return { ...claimed, companions: others };
  });
}

/** Whether a job may start now on a worker, as the dispatcher sees it. Of one that has no row, only that its class is not known. */
async function couldBePlaced(
  repositories: Repositories,
  job: JobRecord,
  worker: WorkerRecord | null,
  now: string,
): Promise<boolean> {
  if (job.notBefore !== null && job.notBefore > now) return false;
  const needs = needsOf(job);
  if (worker === null) return needs.deviceClasses === null;
  if (!accepts(worker, needs)) return false;
  const left = await leftOn(repositories, worker, job);
  return left.slots > 0 && bytesOn(worker, needs) <= left.bytes;
}

function startAttempt(
  repositories: Repositories,
  job: JobRecord,
  { workerId, worker, party, members, at }: StartOfAttempt,
): Promise<JobRecord> {
  const others = members === 2 ? 'another job' : `${members - 1} other jobs`;
  const together = party === null ? '' : `, together with ${others} on the same base`;
  return moveJob(repositories, job, 'preparing', {
    at,
    message: `Attempt ${job.epoch} starts on worker ${workerId}${together}.`,
    patch: {
      workerId,
      heartbeatAt: at,
      ...notAssigned,
      attemptStartedAt: at,
      party,
      host: worker?.hostname ?? job.host,
      deviceClass: worker?.deviceClass ?? null,
      startedAt: job.startedAt ?? at,
      fruitlessAttempts: job.fruitlessAttempts + 1,
    },
  });
}

interface StartOfAttempt {
  workerId: string;
  /** Its row; null: it has none yet. */
  worker: WorkerRecord | null;
  party: string | null;
  /** Jobs that start together. */
  members: number;
  at: string;
}
