import {
  type AdapterVersion,
  type BaseModel,
  type CreateExport,
  type ExportFormat,
  type ExportWork,
  type JobDetail,
  LowrankError,
  parityThresholds,
} from '@lowrank/contracts';
import { findVersion } from '../catalog/find-version';
import { checkMeasured } from '../jobs/check-job';
import { datasetOf } from '../jobs/dataset-of';
import { factsOf, materialOf } from '../jobs/material';
import { type Submitter, thresholdsFor } from '../jobs/parity-thresholds';
import { checkQueueQuota } from '../jobs/quotas';
import { addJobs, scheduleOf } from '../jobs/submit-job';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';
import { estimateWork } from '../preflight/estimate-work';

/**
 * Accepts a job that writes a version in another format. What it has to reach is in its work; its base model, dataset and recipe are the
 * version's, so that it is compared on the rows that were held out.
 * Errors: not_found (adapter, version, dataset), export_unsupported where that is known before the files are read, quota_exceeded,
 * deadline_exceeded, no_worker_fits, forbidden for thresholds looser than the format's.
 */
export async function submitExport(
  ports: Ports,
  submitter: Submitter,
  of: { adapter: string; version: string },
  request: CreateExport,
): Promise<JobDetail> {
  const { unitOfWork, clock, ids } = ports;
  const { teamId } = submitter;
  const { placement, notBefore } = scheduleOf(request, clock.now());
  const planned = await unitOfWork.run((repositories) =>
    planExport(repositories, submitter, of, request, clock.now()),
  );
  const estimate = await estimateWork(ports, planned, { placement, notBefore });
  const at = clock.now();
  const schedule = scheduleOf(request, at);
  const id = ids.make('job');
  const { adapter } = of;
  return unitOfWork.run(async (repositories) => {
    const { work, versions, ...material } = await planExport(repositories, submitter, of, request, at);
    const { baseModel, dataset, validationDataset } = material;
    const [{ recipe }] = versions;
    const { number } = work.version;
    const job = {
      ...{ ...factsOf(baseModel, dataset, validationDataset), ...schedule },
      ...{ id, adapter, work, estimate, recipe, createdAt: at },
      ...{ metadata: {}, initFrom: null, clonedFrom: null, sweep: null },
    };
    const { filename } = validationDataset ?? dataset;
    const { format } = request;
    const message = `Submitted: ${adapter} v${number} as ${format}, compared on rows of ${filename}.`;
    await addJobs(repositories, teamId, message, [job]);
    await repositories.audit.add('export', { kind: 'job', id }, { adapter, version: number, format });
    return found(await repositories.jobs.detail(teamId, id), 'job', id);
  });
}

/** The work, its version and what it needs, as they are now. */
async function planExport(
  repositories: Repositories,
  submitter: Submitter,
  { adapter, version: ref }: { adapter: string; version: string },
  request: CreateExport,
  at: string,
) {
  const { teamId } = submitter;
  await checkQueueQuota(repositories, teamId, at);
  const version = await findVersion(repositories, teamId, adapter, ref);
  const material = await materialOf(repositories, teamId, {
    ...{ baseModel: version.baseModel.id, ...(await datasetOf(repositories, teamId, version, request)) },
  });
  checkMeasured(version, material.dataset, material.validationDataset);
  const { format, parity } = request;
  assertExportable(version, material.baseModel, format);
  const work: ExportWork = {
    ...{ kind: 'export', format, thresholds: thresholdsFor(submitter, parityThresholds[format], parity) },
    version: { id: version.id, adapter, number: version.number, files: version.files },
  };
  const versions: [AdapterVersion] = [version];
  return { work, versions, ...material };
}

/** What is known of a version before its files are read; the trainer knows the rest. */
function assertExportable({ recipe }: AdapterVersion, { decoder }: BaseModel, format: ExportFormat): void {
  const refuse = (what: string, others: string) => {
    throw new LowrankError('export_unsupported', `${what} cannot be exported as ${format}; ${others}.`, [
      { path: 'format', message: others },
    ]);
  };
  const { dora, bias } = recipe.lora;
  if (format === 'gguf-adapter' && (dora || bias !== 'none'))
    refuse(dora ? 'DoRA' : 'An adapter with biases', "it can be merged: 'merged', 'gguf-f16', 'gguf-q8_0'");
  const quantized = decoder?.quantization?.quantization;
  if (format !== 'gguf-adapter' && quantized !== undefined)
    refuse(`A version on a checkpoint that is quantized already (${quantized})`, "it can be 'gguf-adapter'");
}
