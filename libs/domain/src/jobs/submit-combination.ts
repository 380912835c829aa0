import {
  type AdapterVersion,
  combinationParity,
  type CombineSettings,
  type CombineWork,
  type CreateCombination,
  type ErrorDetail,
  type JobDetail,
  LowrankError,
} from '@lowrank/contracts';
import { findVersion } from '../catalog/find-version';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';
import { estimateWork } from '../preflight/estimate-work';
import { checkMeasured } from './check-job';
import { datasetOf } from './dataset-of';
import { factsOf, materialOf } from './material';
import { type Submitter, thresholdsFor } from './parity-thresholds';
import { checkQueueQuota } from './quotas';
import { addJobs, scheduleOf } from './submit-job';

/** Highest rank that a recipe, and so a version, can have. */
const highestRank = 512;

/**
 * Accepts a job that makes the next version of an adapter of several versions. Base model, dataset and recipe of the job are the first version's, by
 * which the result is measured.
 * Errors: not_found (adapters, versions, dataset), validation_failed naming the version that does not go with the others, conflict (the
 * adapter belongs to another base model), quota_exceeded, deadline_exceeded, no_worker_fits, forbidden for thresholds looser than the method's.
 */
export async function submitCombination(
  ports: Ports,
  submitter: Submitter,
  request: CreateCombination,
): Promise<JobDetail> {
  const { unitOfWork, clock, ids } = ports;
  const { teamId } = submitter;
  const { placement, notBefore } = scheduleOf(request, clock.now());
  const planned = await unitOfWork.run((repositories) =>
    planCombination(repositories, submitter, request, clock.now()),
  );
  const estimate = await estimateWork(ports, planned, { placement, notBefore });
  const at = clock.now();
  const schedule = scheduleOf(request, at);
  const [id, adapterId] = [ids.make('job'), ids.make('adapter')];
  return unitOfWork.run(async (repositories) => {
    const { work, versions, ...material } = await planCombination(repositories, submitter, request, at);
    const [first] = versions as [AdapterVersion];
    const { baseModel, dataset, validationDataset } = material;
    const { name: adapter } = await repositories.adapters.ensure(teamId, {
      ...{ id: adapterId, name: request.adapter, baseModelName: baseModel.name, at },
    });
    const job = {
      ...{ ...factsOf(baseModel, dataset, validationDataset), ...schedule },
      ...{ id, adapter, work, estimate, recipe: first.recipe, createdAt: at },
      ...{ metadata: {}, initFrom: null, clonedFrom: null, sweep: null },
    };
    const names = work.parents.map((parent) => `${parent.adapter} v${parent.number}`).join(', ');
    const { method } = request;
    await addJobs(repositories, teamId, `Submitted: ${names}, combined by ${method}.`, [job]);
    await repositories.audit.add('combine', { kind: 'job', id }, { adapter, of: names, method });
    return found(await repositories.jobs.detail(teamId, id), 'job', id);
  });
}

/** The work, its versions and what it needs, as they are now. */
async function planCombination(
  repositories: Repositories,
  submitter: Submitter,
  request: CreateCombination,
  at: string,
) {
  const { teamId } = submitter;
  await checkQueueQuota(repositories, teamId, at);
  const { method, rank, density, majoritySign, seed, parity } = request;
  const weights = request.versions.map(({ weight }) => weight ?? 1 / request.versions.length);
  const settings: CombineSettings = { method, rank, density, majoritySign, seed, weights };
  const versions: AdapterVersion[] = [];
  for (const { adapter, version } of request.versions)
    versions.push(await findVersion(repositories, teamId, adapter, version));
  checkCombination(versions, settings);
  const [first] = versions as [AdapterVersion];
  const material = await materialOf(repositories, teamId, {
    ...{ baseModel: first.baseModel.id, ...(await datasetOf(repositories, teamId, first, request)) },
  });
  checkMeasured(first, material.dataset, material.validationDataset);
  const parents = versions.map(({ id, adapter, number, files }) => ({ id, adapter, number, files }));
  const thresholds = thresholdsFor(submitter, combinationParity[method].thresholds, parity);
  const work: CombineWork = { kind: 'combine', parents, settings, thresholds };
  return { work, versions, ...material };
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
