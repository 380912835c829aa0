import { type AdapterVersion, LowrankError, type Manifest } from '@lowrank/contracts';
import { type Ports } from '../ports';
import { type JobRecord } from '../ports/repositories';
import { moveJob } from '../state-machine';
import { type AttemptRef, releaseSlot, withAttempt } from './attempt';

/**
 * Makes a published manifest the next version of its adapter and ends the job as succeeded: one transaction, so there is never a
 * version without its job or the other way round. Files and manifest are in the object store by now. Resolves to null, writing
 * nothing, when the attempt is fenced. The manifest may be an earlier attempt's: one that won the race and died before this point.
 * Errors: conflict when the manifest is not of this job.
 */
export async function publishVersion(
  { unitOfWork, clock, ids }: Ports,
  attempt: AttemptRef,
  manifest: Manifest,
): Promise<AdapterVersion | null> {
  const at = clock.now();
  const id = ids.make('version');
  return withAttempt(unitOfWork, attempt, async (repositories, job) => {
    assertSameJob(manifest, job);
    const version = await repositories.adapters.publish(job.teamId, { id, manifest, at });
    await moveJob(repositories, job, 'succeeded', {
      at,
      message: `Published as ${version.adapter} v${version.number}.`,
      patch: {
        version: version.number,
        step: manifest.metrics.steps,
        trainedTokens: manifest.metrics.trainedTokens,
        finishedAt: at,
        ...(await releaseSlot(repositories, job, at)),
      },
    });
    await repositories.outbox.add({ jobId: job.id, epoch: job.epoch, workerId: null });
    return version;
  });
}

function assertSameJob(manifest: Manifest, job: JobRecord): void {
  const wrong = [
    manifest.jobId === job.id || 'job',
    manifest.epoch <= job.epoch || 'epoch',
    manifest.adapter === job.adapter || 'adapter',
    manifest.baseModel.id === job.baseModel.id || 'base model',
    manifest.dataset.sha256 === job.dataset.sha256 || 'dataset',
  ].filter((part) => part !== true);
  if (wrong.length > 0)
    throw new LowrankError(
      'conflict',
      `The manifest is not of job ${job.id}: its ${wrong.join(', ')} differ.`,
    );
}
