import {
  type AdapterVersion,
  type CombineSettings,
  type CreateCombination,
  type ErrorDetail,
  type JobDetail,
  LowrankError,
  type Work,
} from '@lowrank/contracts';
import { findVersion } from '../catalog/find-version';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { datasetOf } from './dataset-of';
import { factsOf, materialOf } from './material';
import { checkQueueQuota } from './quotas';
import { addJobs, scheduleOf } from './submit-job';

/** Highest rank that a recipe, and so a version, can have. */
const highestRank = 512;

/**
 * Accepts a job that makes the next version of an adapter of several versions. Base model, dataset and recipe of the job are the first version's, by
 * which the result is measured.
 * Errors: not_found (adapters, versions, dataset), validation_failed naming the version that does not go with the others, conflict (the
 * adapter belongs to another base model), quota_exceeded, deadline_exceeded.
 */
export async function submitCombination(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  request: CreateCombination,
): Promise<JobDetail> {
  const at = clock.now();
  const schedule = scheduleOf(request, at);
  const { method, rank, density, majoritySign, seed } = request;
  const weights = request.versions.map(({ weight }) => weight ?? 1 / request.versions.length);
  const settings: CombineSettings = { method, rank, density, majoritySign, seed, weights };
  const [id, adapterId] = [ids.make('job'), ids.make('adapter')];
  return unitOfWork.run(async (repositories) => {
    await checkQueueQuota(repositories, teamId, at);
    const versions: AdapterVersion[] = [];
    for (const { adapter, version } of request.versions)
      versions.push(await findVersion(repositories, teamId, adapter, version));
    checkCombination(versions, settings);
    const [first] = versions as [AdapterVersion];
    const { baseModel, dataset } = await materialOf(repositories, teamId, {
      baseModel: first.baseModel.id,
      dataset: datasetOf(first, request.dataset),
    });
    const { name: adapter } = await repositories.adapters.ensure(teamId, {
      ...{ id: adapterId, name: request.adapter, baseModelName: baseModel.name, at },
    });
    const parents = versions.map(({ id: version, adapter: name, number, files }) => ({
      ...{ id: version, adapter: name, number, files },
    }));
    const work: Work = { kind: 'combine', parents, settings };
    const job = {
      ...{ ...factsOf(baseModel, dataset), ...schedule },
      ...{ id, adapter, work, recipe: first.recipe, createdAt: at },
      ...{ estimate: null, metadata: {}, initFrom: null, clonedFrom: null, sweep: null },
    };
    const names = parents.map((parent) => `${parent.adapter} v${parent.number}`).join(', ');
    await addJobs(repositories, teamId, `Submitted: ${names}, combined by ${method}.`, [job]);
    await repositories.audit.add('combine', { kind: 'job', id }, { adapter, of: names, method });
    return found(await repositories.jobs.detail(teamId, id), 'job', id);
  });
}

const ranksOf = ({ recipe: { lora } }: AdapterVersion): number[] => [
  lora.rank,
  ...Object.values(lora.rankPattern),
];

/** What is known of the versions before their files are read; the trainer knows the rest. */
function checkCombination(versions: readonly AdapterVersion[], { method }: CombineSettings): void {
  const [first] = versions as [AdapterVersion];
  const details = versions.flatMap((version, i): ErrorDetail[] => {
    const { baseModel, recipe } = version;
    const refuse = (message: string) => [{ path: `versions.${i}`, message }];
    if (baseModel.id !== first.baseModel.id || baseModel.revision !== first.baseModel.revision)
      return refuse(`is on ${baseModel.name}, the first on ${first.baseModel.name}`);
    if (recipe.lora.dora || recipe.lora.bias !== 'none')
      return refuse('is DoRA or trains biases; only plain LoRA can be combined');
    return [];
  });
  const inAll = versions.reduce((sum, version) => sum + Math.max(...ranksOf(version)), 0);
  if (method === 'cat' && inAll > highestRank)
    details.push({
      path: 'method',
      message: `cat would give rank ${inAll}; choose svd with a rank up to ${highestRank}`,
    });
  if (details.length > 0)
    throw new LowrankError(
      'validation_failed',
      `These versions cannot be combined: ${details.map(({ path, message }) => `${path} ${message}`).join('; ')}.`,
      details,
    );
}
