import { LowrankError, type Manifest, type Parent, parentsOf } from '@lowrank/contracts';
import { type Ports } from '../ports';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { moveJob } from '../state-machine';
import { type AttemptRef, releaseSlot, withAttempt } from './attempt';

/**
 * Makes a published manifest the next version of its adapter and ends the job as succeeded: one transaction, so there is never a
 * version without its job or the other way round. What a trial of a sweep has published is kept, and becomes a version when the trial is
 * promoted. Files and manifest are in the object store by now. Resolves to the job as it is then, or to null, writing
 * nothing, when the attempt is fenced. The manifest may be an earlier attempt's: one that won the race and died before this point.
 * Errors: conflict when the manifest is not of this job.
 */
export async function publishVersion(
  { unitOfWork, clock, ids }: Ports,
  attempt: AttemptRef,
  manifest: Manifest,
): Promise<JobRecord | null> {
  const at = clock.now();
  const id = ids.make('version');
  return withAttempt(unitOfWork, attempt, async (repositories, job) => {
    assertSameJob(manifest, job);
    const { version, message } = await accept(repositories, job, { id, manifest, at });
    const moved = await moveJob(repositories, job, 'succeeded', {
      at,
      message,
      patch: {
        version,
        // A trial that was done before the order to stop reached it counts like any other.
        stoppedEarly: null,
        step: manifest.metrics.steps,
        trainedTokens: manifest.metrics.trainedTokens,
        finishedAt: at,
        ...(await releaseSlot(repositories, job, at)),
      },
    });
    await repositories.outbox.add({ jobId: job.id, epoch: job.epoch, workerId: null });
    return moved;
  });
}

async function accept(
  { adapters, sweeps }: Repositories,
  { teamId, sweep }: JobRecord,
  { id, manifest, at }: { id: string; manifest: Manifest; at: string },
): Promise<{ version: number | null; message: string }> {
  if (sweep === null) {
    const { adapter, number } = await adapters.publish(teamId, { id, manifest, at });
    return { version: number, message: `Published as ${adapter} v${number}.` };
  }
  await sweeps.keepResult(sweep.id, sweep.trial, { versionId: id, manifest });
  const { evalLossAfter: loss } = manifest.metrics;
  return {
    version: null,
    message: `Trial ${sweep.trial} is done: held-out loss ${loss?.toFixed(4) ?? 'unknown'}.`,
  };
}

const idsOf = (parents: readonly Parent[]): string => parents.map(({ versionId }) => versionId).join();

/** Error: conflict, with what differs. */
export function assertSameJob(manifest: Manifest, job: JobRecord): void {
  const wrong = [
    manifest.jobId === job.id || 'job',
    manifest.epoch <= job.epoch || 'epoch',
    manifest.adapter === job.adapter || 'adapter',
    manifest.baseModel.id === job.baseModel.id || 'base model',
    manifest.dataset.sha256 === job.dataset.sha256 || 'dataset',
    idsOf(manifest.parents) === idsOf(parentsOf(job)) || 'versions that it is made from',
  ].filter((part) => part !== true);
  if (wrong.length > 0)
    throw new LowrankError(
      'conflict',
      `The manifest is not of job ${job.id}: its ${wrong.join(', ')} differ.`,
    );
}
