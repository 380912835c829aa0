import { type BaseModel, type Dataset, errorCatalog, type JobWakeUp } from '@lowrank/contracts';
import { type Ports } from '../ports';
import { type JobRecord } from '../ports/repositories';
import { moveJob } from '../state-machine';
import { notAssigned } from './attempt';

/** Everything a worker needs to start a trainer. */
export interface ClaimedAttempt {
  job: JobRecord;
  baseModel: BaseModel;
  dataset: Dataset;
}

/**
 * Takes an attempt for a worker: queued → preparing, in one transaction under the row's lock, so that of any number of wake-ups for
 * the same epoch one claims. Resolves to null when the wake-up is stale: it is another worker's, the job has moved on, or the worker is
 * to take nothing more. A wake-up of the release before names no worker: whoever gets it may take a job that nobody was chosen for.
 *
 * The attempt counts as fruitless from here on; its first new checkpoint takes that back. So an attempt that dies without a word is
 * counted too.
 */
export async function claimAttempt(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  { jobId, epoch, workerId: addressee = null }: Pick<JobWakeUp, 'jobId' | 'epoch'> & Partial<JobWakeUp>,
  workerId: string,
): Promise<ClaimedAttempt | null> {
  const at = clock.now();
  return unitOfWork.run(async (repositories) => {
    const job = await repositories.jobs.lock(jobId);
    if (job === null || job.epoch !== epoch || job.state !== 'queued') return null;
    if (job.assignedTo !== (addressee === null ? null : workerId)) return null;
    const worker = await repositories.workers.find(workerId);
    if (worker !== null && worker.drain !== null) return null;
    const baseModel = await repositories.baseModels.find(job.teamId, job.baseModel.id);
    const dataset = await repositories.datasets.find(job.teamId, job.dataset.id);
    if (baseModel === null || dataset === null) {
      const message = `${baseModel === null ? 'Base model' : 'Dataset'} of the job is gone.`;
      const error = { code: 'not_found' as const, message, help: errorCatalog.not_found.help };
      await moveJob(repositories, job, 'failed', {
        at,
        level: 'error',
        message,
        patch: { ...notAssigned, error, finishedAt: at },
      });
      return null;
    }
    const claimed = await moveJob(repositories, job, 'preparing', {
      at,
      message: `Attempt ${epoch} starts on worker ${workerId}.`,
      patch: {
        workerId,
        heartbeatAt: at,
        ...notAssigned,
        attemptStartedAt: at,
        host: worker?.hostname ?? job.host,
        deviceClass: worker?.deviceClass ?? null,
        startedAt: job.startedAt ?? at,
        fruitlessAttempts: job.fruitlessAttempts + 1,
      },
    });
    return { job: claimed, baseModel, dataset };
  });
}
