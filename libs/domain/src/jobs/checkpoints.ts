import {
  type AdapterVersion,
  type Job,
  type JobCheckpoint,
  LowrankError,
  type StoredFile,
} from '@lowrank/contracts';
import { blobsLock } from '../catalog/retention';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type KeptCheckpoint } from '../ports/checkpoints';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { tell } from './with-job';

/** The one with the lowest loss on the rows held out, of equal ones the first that was reached; null: none was evaluated. */
function bestOf<T extends { step: number; loss: number | null }>(some: readonly T[]): T | null {
  let best: (T & { loss: number }) | null = null;
  for (const one of some) {
    const { loss, step } = one;
    if (loss === null) continue;
    if (best === null || loss < best.loss || (loss === best.loss && step < best.step))
      best = { ...one, loss };
  }
  return best;
}

/** Steps of those that are not kept any longer: neither among the newest `keep` nor the best, and no version of the adapter. */
export function superfluous(kept: readonly KeptCheckpoint[], keep: number): number[] {
  const best = bestOf(kept.map(({ step, manifest }) => ({ step, loss: manifest.metrics.evalLossAfter })));
  return kept
    .toSorted((a, b) => b.step - a.step)
    .slice(keep)
    .filter(({ step, version }) => step !== best?.step && version === null)
    .map(({ step }) => step);
}

type Facts = Pick<AdapterVersion, 'metrics' | 'files'>;

const viewOf = (step: number, at: string, { metrics, files }: Facts, version: number | null) => ({
  ...{ step, at, version, isBest: false },
  ...{ trainedTokens: metrics.trainedTokens, trainLoss: metrics.trainLoss },
  ...{ evalLoss: metrics.evalLossAfter, evalAccuracy: metrics.evalAccuracyAfter },
  bytes: files.reduce((sum, file) => sum + file.bytes, 0),
});

/** What a job has come to, as a checkpoint like the others; null: it has published nothing, or that is deleted. */
async function resultOf(
  { adapters }: Pick<Repositories, 'adapters'>,
  teamId: string,
  job: Job,
): Promise<AdapterVersion | null> {
  if (job.version === null || job.work.kind !== 'train') return null;
  return adapters.version(teamId, job.adapter, job.version);
}

/** States of a job's adapter that are kept, and what it has published, the newest first. Error: not_found. */
export function listCheckpoints(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  jobId: string,
): Promise<JobCheckpoint[]> {
  return unitOfWork.read(async (repositories) => {
    const job = found(await repositories.jobs.find(teamId, jobId), 'job', jobId);
    const kept = await repositories.checkpoints.list(jobId);
    const result = await resultOf(repositories, teamId, job);
    const views = kept.map(({ step, at, manifest, version }) =>
      viewOf(step, at, manifest, version === null || version.isDeleted ? null : version.number),
    );
    if (result !== null) views.unshift(viewOf(result.metrics.steps, result.createdAt, result, result.number));
    const best = bestOf(views.map(({ step, evalLoss: loss }) => ({ step, loss })));
    return views.map((view) => ({ ...view, isBest: view.step === best?.step }));
  });
}

/**
 * Makes a state that is kept of a job's adapter the adapter's next version. Once: again, it is the version that it was, as it is for the
 * step that the job has published itself. `verify` reads the files, and rejects with integrity_failed or not_found.
 * Errors: not_found; conflict when the adapter, or the version that it was made, is deleted; those of `verify`.
 */
export async function promoteCheckpoint(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  { jobId, step, verify }: { jobId: string; step: number; verify(files: StoredFile[]): Promise<void> },
): Promise<AdapterVersion> {
  const [id, adapterId] = [ids.make('version'), ids.make('adapter')];
  return unitOfWork.sharing(blobsLock, async (lost) => {
    const kept = await unitOfWork.look(async ({ checkpoints, jobs }) => {
      found(await jobs.find(teamId, jobId), 'job', jobId);
      return (await checkpoints.list(jobId)).find((one) => one.step === step);
    });
    if (kept?.version === null) await verify(kept.manifest.files);
    lost.throwIfAborted();
    return unitOfWork.run(async (repositories) => {
      const job = found(await repositories.jobs.lock(jobId), 'job', jobId);
      const at = clock.now();
      const version = await versionOf(repositories, job, step, { id, adapterId, at });
      const target = { kind: 'version', id: version.id, name: `${version.adapter}@v${version.number}` };
      await repositories.audit.add('promote', target, { job: jobId, step });
      return version;
    });
  });
}

/** The version that a job's state after a step is, or becomes now. Errors: not_found, conflict. */
async function versionOf(
  repositories: Repositories,
  job: JobRecord,
  step: number,
  { id, adapterId, at }: { id: string; adapterId: string; at: string },
): Promise<AdapterVersion> {
  const { adapters, checkpoints } = repositories;
  const { teamId, adapter } = job;
  const result = await resultOf(repositories, teamId, job);
  if (result?.metrics.steps === step) return result;
  const kept = await checkpoints.lock(job.id, step);
  if (kept === null)
    throw new LowrankError(
      'not_found',
      `No checkpoint of step ${step} of job ${job.id} is kept.`,
      undefined,
      {
        help: 'List the checkpoints that are kept; `checkpoints.keep` of the recipe says how many.',
      },
    );
  const { version, manifest } = kept;
  if (version?.isDeleted === true)
    throw new LowrankError(
      'conflict',
      `The checkpoint is ${adapter} v${version.number}, which is deleted.`,
      undefined,
      { help: `Restore version ${version.number} of ${adapter}.` },
    );
  if (version !== null) return found(await adapters.versionById(teamId, version.id), 'version', version.id);
  const baseModelName = manifest.baseModel.name;
  await adapters.ensure(teamId, { id: adapterId, name: adapter, baseModelName, at });
  const made = await adapters.publish(teamId, { id, manifest, at });
  await checkpoints.setVersion(job.id, step, made.id);
  await tell(
    repositories,
    job,
    at,
    `The checkpoint of step ${step} was published as ${made.adapter} v${made.number}.`,
  );
  return made;
}
