import {
  type AdapterVersion,
  type CreateEvaluation,
  type Dataset,
  type EvaluateWork,
  type EvaluationSettings,
  type Gate,
  type JobDetail,
  LowrankError,
} from '@lowrank/contracts';
import { findVersion } from '../catalog/find-version';
import { validationOf } from '../jobs/dataset-of';
import { factsOf, materialOf } from '../jobs/material';
import { checkQueueQuota } from '../jobs/quotas';
import { addJobs, scheduleOf } from '../jobs/submit-job';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Deed } from '../ports/audit';
import { type Repositories } from '../ports/repositories';
import { estimateWork } from '../preflight/estimate-work';

/** Rows of pairs have no one answer to measure. Error: dataset_invalid. */
export function assertMeasurable({ filename, format }: Dataset): void {
  if (format !== 'preference') return;
  throw new LowrankError(
    'dataset_invalid',
    `${filename} has pairs of answers; versions are measured on rows with one.`,
    [{ path: 'dataset', message: 'must have one answer a row' }],
    { help: 'Choose a dataset of another format.' },
  );
}

const settingsOf = ({ checks, limits }: Gate): EvaluationSettings => ({
  measures: checks.map(({ measure }) => measure),
  limits,
});

/**
 * Accepts a job that measures a version: by the gate of an alias, which then moves if that is asked for and the version passes, or by settings of
 * the request. `deed`: on whose behalf it moves.
 * Errors: not_found (adapter, version, gate, dataset), dataset_invalid, quota_exceeded, deadline_exceeded, no_worker_fits.
 */
export async function submitEvaluation(
  ports: Ports,
  teamId: string,
  of: { adapter: string; version: string },
  request: CreateEvaluation,
  deed: Pick<Deed, 'actor' | 'requestId'>,
): Promise<JobDetail> {
  const { unitOfWork, clock, ids } = ports;
  const { placement, notBefore } = scheduleOf(request, clock.now());
  const plan = (repositories: Repositories) => planEvaluation(repositories, teamId, of, request, deed);
  const planned = await unitOfWork.run(async (repositories) => {
    await checkQueueQuota(repositories, teamId, clock.now());
    return plan(repositories);
  });
  const estimate = await estimateWork(ports, planned, { placement, notBefore });
  const at = clock.now();
  const schedule = scheduleOf(request, at);
  const id = ids.make('job');
  const { adapter } = of;
  const { alias } = request;
  return unitOfWork.run(async (repositories) => {
    await checkQueueQuota(repositories, teamId, at);
    const { work, versions, baseModel, dataset } = await plan(repositories);
    const { number } = work.version;
    const job = {
      ...{ ...factsOf(baseModel, dataset), ...schedule },
      ...{ id, adapter, work, estimate, recipe: versions[0].recipe, createdAt: at },
      ...{ metadata: {}, initFrom: null, clonedFrom: null, sweep: null },
    };
    const purpose = work.move ? `, to move '${alias}'` : alias === undefined ? '' : ` for '${alias}'`;
    const message = `Submitted: ${adapter} v${number} on rows of ${dataset.filename}${purpose}.`;
    await addJobs(repositories, teamId, message, [job]);
    const told = { adapter, version: number, dataset: dataset.id, alias: alias ?? null };
    await repositories.audit.add('evaluate', { kind: 'job', id }, { ...told, move: request.move });
    return found(await repositories.jobs.detail(teamId, id), 'job', id);
  });
}

/** The work, its version and what it needs, as they are now. */
async function planEvaluation(
  repositories: Repositories,
  teamId: string,
  { adapter, version: ref }: { adapter: string; version: string },
  request: CreateEvaluation,
  { actor, requestId }: Pick<Deed, 'actor' | 'requestId'>,
) {
  const { aliases, gates } = repositories;
  const { alias } = request;
  const version = await findVersion(repositories, teamId, adapter, ref);
  const gate =
    alias === undefined
      ? null
      : found(await gates.find(teamId, adapter, alias), 'gate', `${adapter}@${alias}`, 'alias');
  const material = await materialOf(repositories, teamId, {
    baseModel: version.baseModel.id,
    dataset: gate?.dataset.id ?? request.dataset ?? (await ownValidation(repositories, teamId, version)),
  });
  assertMeasurable(material.dataset);
  const work: EvaluateWork = {
    kind: 'evaluate',
    version: { id: version.id, adapter, number: version.number, files: version.files },
    settings: gate === null ? ownSettings(request) : settingsOf(gate),
    move:
      request.move && alias !== undefined
        ? { alias, from: (await aliases.find(teamId, adapter, alias))?.version ?? null, actor, requestId }
        : null,
  };
  const versions: [AdapterVersion] = [version];
  return { work, versions, ...material };
}

/** Id of the dataset that the version was validated on. Error: validation_failed when there was none. */
async function ownValidation(
  repositories: Repositories,
  teamId: string,
  version: AdapterVersion,
): Promise<string> {
  const id = await validationOf(repositories, teamId, version);
  if (id !== null) return id;
  throw new LowrankError(
    'validation_failed',
    `${version.adapter}@v${version.number} has no validation dataset; name the dataset that it is to be measured on.`,
    [{ path: 'dataset', message: 'is missing, or `alias` is' }],
  );
}

/** What a request without an alias asks for; the contract has seen to it that it does. */
function ownSettings({ measures = [], limits }: CreateEvaluation): EvaluationSettings {
  return { measures, limits: limits ?? { maxRows: 200, maxTokens: 256, sequenceLength: 2048 } };
}
