import {
  type CreateEvaluation,
  type Dataset,
  type EvaluateWork,
  type EvaluationSettings,
  type Gate,
  type JobDetail,
  LowrankError,
} from '@lowrank/contracts';
import { findVersion } from '../catalog/find-version';
import { factsOf, materialOf } from '../jobs/material';
import { checkQueueQuota } from '../jobs/quotas';
import { addJobs, scheduleOf } from '../jobs/submit-job';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Deed } from '../ports/audit';

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
 * Errors: not_found (adapter, version, gate, dataset), dataset_invalid, quota_exceeded, deadline_exceeded.
 */
export async function submitEvaluation(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  { adapter, version: ref }: { adapter: string; version: string },
  request: CreateEvaluation,
  { actor, requestId }: Pick<Deed, 'actor' | 'requestId'>,
): Promise<JobDetail> {
  const at = clock.now();
  const schedule = scheduleOf(request, at);
  const id = ids.make('job');
  const { alias } = request;
  return unitOfWork.run(async (repositories) => {
    const { aliases, audit, gates, jobs } = repositories;
    await checkQueueQuota(repositories, teamId, at);
    const version = await findVersion(repositories, teamId, adapter, ref);
    const gate =
      alias === undefined
        ? null
        : found(await gates.find(teamId, adapter, alias), 'gate', `${adapter}@${alias}`, 'alias');
    const { baseModel, dataset } = await materialOf(repositories, teamId, {
      baseModel: version.baseModel.id,
      dataset: gate?.dataset.id ?? (request.dataset as string),
    });
    assertMeasurable(dataset);
    const settings = gate === null ? ownSettings(request) : settingsOf(gate);
    const move: EvaluateWork['move'] =
      request.move && alias !== undefined
        ? { alias, from: (await aliases.find(teamId, adapter, alias))?.version ?? null, actor, requestId }
        : null;
    const pinned = { id: version.id, adapter, number: version.number, files: version.files };
    const job = {
      ...{ ...factsOf(baseModel, dataset), ...schedule },
      ...{ id, adapter, recipe: version.recipe, createdAt: at },
      ...{ estimate: null, metadata: {}, initFrom: null, clonedFrom: null, sweep: null },
      work: { kind: 'evaluate' as const, version: pinned, settings, move },
    };
    const purpose = move ? `, to move '${alias}'` : alias === undefined ? '' : ` for '${alias}'`;
    const message = `Submitted: ${adapter} v${version.number} on rows of ${dataset.filename}${purpose}.`;
    await addJobs(repositories, teamId, message, [job]);
    const told = { adapter, version: version.number, dataset: dataset.id, alias: alias ?? null };
    await audit.add('evaluate', { kind: 'job', id }, { ...told, move: request.move });
    return found(await jobs.detail(teamId, id), 'job', id);
  });
}

/** What a request without an alias asks for; the contract has seen to it that it does. */
function ownSettings({ measures = [], limits }: CreateEvaluation): EvaluationSettings {
  return { measures, limits: limits ?? { maxRows: 200, maxTokens: 256, sequenceLength: 2048 } };
}
