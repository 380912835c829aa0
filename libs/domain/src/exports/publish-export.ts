import { type ExportManifest, LowrankError } from '@lowrank/contracts';
import { type AttemptRef, succeed, withAttempt } from '../attempts/attempt';
import { type Ports } from '../ports';
import { type JobRecord } from '../ports/repositories';

/**
 * Makes a published manifest an export of its version and ends the job as succeeded, in one transaction, as publishVersion does. Resolves to
 * the job as it is then, or to null, writing nothing, when the attempt is fenced. Errors: conflict when the manifest is not of this job.
 */
export async function publishExport(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  attempt: AttemptRef,
  manifest: ExportManifest,
): Promise<JobRecord | null> {
  const at = clock.now();
  return withAttempt(unitOfWork, attempt, async (repositories, job) => {
    const { work } = job;
    if (
      work.kind !== 'export' ||
      manifest.jobId !== job.id ||
      manifest.epoch > job.epoch ||
      manifest.versionId !== work.version.id ||
      manifest.exportFormat !== work.format
    )
      throw new LowrankError('conflict', `The manifest is not of job ${job.id}.`);
    await repositories.exports.publish(job.teamId, manifest, at);
    const { klMean, agreement } = manifest.certificate;
    return succeed(repositories, job, {
      at,
      message:
        `Exported ${work.version.adapter} v${work.version.number} as ${work.format}: ` +
        `divergence ${klMean.toExponential(2)} nats, same likeliest token in ${(100 * agreement).toFixed(2)} %.`,
    });
  });
}
