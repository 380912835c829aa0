import { type CreateJob, type Dataset, type JobDetail, LowrankError, training } from '@lowrank/contracts';
import { rankAt } from '../dispatch/rank';
import { versionNameOf } from '../catalog/lineage';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type NewJob, type Repositories } from '../ports/repositories';
import { assertFits, estimatorOf } from '../preflight/estimate-job';
import { decideRecipe } from '../recipe/continued';
import { checkJob } from './check-job';
import { factsOf, materialOf } from './material';
import { checkQueueQuota } from './quotas';
import { announceMove } from '../webhooks/announce';

/**
 * Accepts a job: checks that base model, dataset and recipe go together, estimates it, makes the adapter if need be, and writes the
 * job, its first event and its outbox row. All writing is one transaction, so an accepted job is always dispatched, whatever dies
 * afterwards.
 * `clonedFrom`: the job that the request was made from.
 *
 * Errors: not_found (base model, dataset, version to start from), base_model_not_ready, dataset_empty, recipe_invalid, conflict (the adapter belongs to
 * another base model), quota_exceeded, deadline_exceeded, no_worker_fits; those of DataPlanner.
 */
export async function submitJob(
  ports: Ports,
  teamId: string,
  request: CreateJob,
  clonedFrom: string | null = null,
): Promise<JobDetail> {
  scheduleOf(request, ports.clock.now());
  // Counting tokens may take seconds: whoever may not submit need not wait for it, and no transaction does.
  const { material, recipe } = await ports.unitOfWork.run(async (repositories) => {
    await checkQueueQuota(repositories, teamId, ports.clock.now());
    const found = await materialOf(repositories, teamId, request);
    const decided = decideRecipe(request.recipe, found.baseModel, found.initFrom);
    checkJob(decided, found);
    return { material: found, recipe: decided };
  });
  const initFrom = material.initFrom && versionNameOf(material.initFrom);
  const estimate = await (await estimatorOf(ports, material, request.placement))(recipe);
  const at = ports.clock.now();
  const schedule = scheduleOf(request, at);
  assertFits(estimate, schedule, at);
  const id = ports.ids.make('job');
  const adapterId = ports.ids.make('adapter');
  return ports.unitOfWork.run(async (repositories) => {
    await checkQueueQuota(repositories, teamId, at);
    // What was checked and counted, whatever the name's newest version is by now.
    const validation = material.validationDataset?.id ?? null;
    const same = { ...request, dataset: material.dataset.id, validationDataset: validation, initFrom: null };
    const { baseModel, dataset, validationDataset } = await materialOf(repositories, teamId, same);
    const { name: adapter } = await repositories.adapters.ensure(teamId, {
      id: adapterId,
      name: request.adapter,
      baseModelName: baseModel.name,
      at,
    });
    const job = {
      ...{ ...factsOf(baseModel, dataset, validationDataset), ...schedule },
      ...{ id, adapter, recipe, initFrom, metadata: request.metadata, estimate },
      ...{ createdAt: at, clonedFrom, sweep: null, work: training },
    };
    await addJobs(repositories, teamId, submitted(baseModel.name, dataset), [job]);
    const start = initFrom && `${initFrom.adapter}@v${initFrom.number}`;
    const facts = {
      ...{ adapter, baseModel: baseModel.name, dataset: dataset.id, validationDataset: validation },
      ...{ initFrom: start, clonedFrom },
    };
    await repositories.audit.add('submit', { kind: 'job', id }, facts);
    return found(await repositories.jobs.detail(teamId, id), 'job', id);
  });
}

/** When and where a request wants to run, and its place in the queue. Error: deadline_exceeded. */
export function scheduleOf(
  {
    priority,
    placement,
    deadline,
    ...request
  }: Pick<CreateJob, 'priority' | 'placement' | 'notBefore' | 'deadline'>,
  at: string,
): Pick<NewJob, 'priority' | 'placement' | 'notBefore' | 'deadline' | 'queuedAt' | 'rankAt'> {
  const notBefore = canonical(request.notBefore);
  if (deadline !== null && Date.parse(deadline) <= Math.max(Date.parse(at), Date.parse(notBefore ?? at)))
    throw new LowrankError(
      'deadline_exceeded',
      `The deadline ${deadline} is over before the job may start.`,
      [{ path: 'deadline', message: 'must be later than now, and than notBefore' }],
    );
  // Before its time a job does not wait.
  const queuedAt = notBefore !== null && notBefore > at ? notBefore : at;
  return {
    ...{ priority, placement, notBefore, queuedAt },
    deadline: canonical(deadline),
    rankAt: rankAt(queuedAt, priority),
  };
}

/** The first message of a job that trains. */
export const submitted = (baseModel: string, { rows, filename }: Dataset): string =>
  `Submitted: ${rows} rows of ${filename} on ${baseModel}.`;

/** Writes jobs on one dataset that were found to be right, their first events, and one outbox row: it is news that there are jobs. */
export async function addJobs(
  repositories: Pick<Repositories, 'jobs' | 'outbox' | 'webhooks'>,
  teamId: string,
  message: string,
  newJobs: NewJob[],
): Promise<void> {
  const { jobs, outbox } = repositories;
  const [first] = newJobs;
  if (!first) return;
  const { id: jobId, createdAt: at } = first;
  await jobs.insert(teamId, ...newJobs);
  const [state, epoch] = ['queued' as const, 1];
  const ids = newJobs.map(({ id }) => id);
  await jobs.beginHistory(ids, { at, epoch, level: 'info', type: 'state', message, state });
  const fresh = { epoch, step: 0, totalSteps: null, version: null, error: null };
  const queued = newJobs.map((job) => ({ ...job, ...fresh }));
  await announceMove(repositories, teamId, queued, { state, message, at });
  await outbox.add({ jobId, epoch, workerId: null });
}

/** An ISO time as times are written everywhere here, so that they can be compared as text. */
const canonical = (time: string | null): string | null =>
  time === null ? null : new Date(time).toISOString();
