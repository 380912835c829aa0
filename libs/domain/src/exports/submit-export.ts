import {
  type AdapterVersion,
  type BaseModel,
  type CreateExport,
  type ExportFormat,
  type JobDetail,
  LowrankError,
  parityThresholds,
} from '@lowrank/contracts';
import { findVersion } from '../catalog/find-version';
import { datasetOf } from '../jobs/dataset-of';
import { factsOf, materialOf } from '../jobs/material';
import { checkQueueQuota } from '../jobs/quotas';
import { addJobs, scheduleOf } from '../jobs/submit-job';
import { found } from '../not-found';
import { type Ports } from '../ports';

/**
 * Accepts a job that writes a version in another format. What it has to reach is in its work; its base model, dataset and recipe are the
 * version's, so that it is compared on the rows that were held out.
 * Errors: not_found (adapter, version, dataset), export_unsupported where that is known before the files are read, quota_exceeded,
 * deadline_exceeded.
 */
export async function submitExport(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  { adapter, version: ref }: { adapter: string; version: string },
  request: CreateExport,
): Promise<JobDetail> {
  const at = clock.now();
  const schedule = scheduleOf(request, at);
  const id = ids.make('job');
  return unitOfWork.run(async (repositories) => {
    await checkQueueQuota(repositories, teamId, at);
    const version = await findVersion(repositories, teamId, adapter, ref);
    const { baseModel, dataset } = await materialOf(repositories, teamId, {
      baseModel: version.baseModel.id,
      dataset: datasetOf(version, request.dataset),
    });
    const { format } = request;
    assertExportable(version, baseModel, format);
    const pinned = { id: version.id, adapter, number: version.number, files: version.files };
    const thresholds = { ...parityThresholds[format], ...request.parity };
    const job = {
      ...{ ...factsOf(baseModel, dataset), ...schedule },
      ...{ id, adapter, recipe: version.recipe, createdAt: at },
      ...{ estimate: null, metadata: {}, initFrom: null, clonedFrom: null, sweep: null },
      work: { kind: 'export' as const, version: pinned, format, thresholds },
    };
    const message = `Submitted: ${adapter} v${version.number} as ${format}, compared on rows of ${dataset.filename}.`;
    await addJobs(repositories, teamId, message, [job]);
    const told = { adapter, version: version.number, format };
    await repositories.audit.add('export', { kind: 'job', id }, told);
    return found(await repositories.jobs.detail(teamId, id), 'job', id);
  });
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
