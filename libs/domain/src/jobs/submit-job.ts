import { type BaseModel, type CreateJob, type Dataset, type Job, LowrankError } from '@lowrank/contracts';
import { rankAt } from '../dispatch/rank';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type NewJob, type Repositories } from '../ports/repositories';
import { checkJob } from './check-job';
import { checkQueueQuota } from './quotas';
import { announceMove } from '../webhooks/announce';

/**
 * Accepts a job: checks that base model, dataset and recipe go together, makes the adapter if need be, and writes the job, its first
 * event and its outbox row. All of that is one transaction, so an accepted job is always dispatched, whatever dies afterwards.
 * `clonedFrom`: the job that the request was made from.
 *
 * Errors: not_found (base model, dataset), base_model_not_ready, dataset_empty, recipe_invalid, conflict (the adapter belongs to
 * another base model), quota_exceeded, deadline_exceeded.
 */
export async function submitJob(
  ports: Ports,
  teamId: string,
  request: CreateJob,
  clonedFrom: string | null = null,
): Promise<Job> {
  const at = ports.clock.now();
  const schedule = scheduleOf(request, at);
  const id = ports.ids.make('job');
  const adapterId = ports.ids.make('adapter');
  return ports.unitOfWork.run(async (repositories) => {
    await checkQueueQuota(repositories, teamId, at);
    const { baseModel, dataset } = await materialOf(repositories, teamId, request);
    checkJob(request.recipe, baseModel, dataset);
    const { name: adapter } = await repositories.adapters.ensure(teamId, {
      id: adapterId,
      name: request.adapter,
      baseModelName: baseModel.name,
      at,
    });
    const { recipe } = request;
    const job = {
      ...{ ...factsOf(baseModel, dataset), ...schedule },
      ...{ id, adapter, recipe, createdAt: at, clonedFrom, sweep: null },
    };
    await addJobs(repositories, teamId, dataset, [job]);
    return found(await repositories.jobs.find(teamId, id), 'job', id);
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

/** What a request wants to train on. Error: not_found. */
export async function materialOf(
  { baseModels, datasets }: Pick<Repositories, 'baseModels' | 'datasets'>,
  teamId: string,
  request: Pick<CreateJob, 'baseModel' | 'dataset'>,
): Promise<{ baseModel: BaseModel; dataset: Dataset }> {
  const baseModel = await baseModels.find(teamId, request.baseModel);
  const dataset = await datasets.find(teamId, request.dataset);
  return {
    baseModel: found(baseModel, 'base model', request.baseModel, 'baseModel'),
    dataset: found(dataset, 'dataset', request.dataset, 'dataset'),
  };
}

/** What a job remembers of its base model and dataset. */
export const factsOf = (
  { id, name, revision }: BaseModel,
  dataset: Dataset,
): Pick<Job, 'baseModel' | 'dataset'> => ({
  baseModel: { id, name, revision },
  dataset: { id: dataset.id, filename: dataset.filename, sha256: dataset.sha256 },
});

/** Writes jobs on one dataset that were found to be right, their first events, and one outbox row: it is news that there are jobs. */
export async function addJobs(
  repositories: Pick<Repositories, 'jobs' | 'outbox' | 'webhooks'>,
  teamId: string,
  { rows, filename }: Dataset,
  newJobs: NewJob[],
): Promise<void> {
  const { jobs, outbox } = repositories;
  const [first] = newJobs;
  if (!first) return;
  const { id: jobId, createdAt: at, baseModel } = first;
  await jobs.insert(teamId, ...newJobs);
  const message = `Submitted: ${rows} rows of ${filename} on ${baseModel.name}.`;
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
