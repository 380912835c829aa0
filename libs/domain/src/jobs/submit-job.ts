import { type CreateJob, type JobDetail, LowrankError } from '@lowrank/contracts';
import { rankAt } from '../dispatch/rank';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { assertFits, estimateJob, findSubject } from '../preflight/estimate-job';
import { checkQueueQuota } from './quotas';
import { announceMove } from '../webhooks/announce';

/**
 * Accepts a job: estimates it, and then checks that base model, dataset and recipe go together, makes the adapter if need be, and
 * writes the job, its first event and its outbox row. All of the latter is one transaction, so an accepted job is always dispatched,
 * whatever dies afterwards.
 * `clonedFrom`: the job that the request was made from.
 *
 * Errors: not_found (base model, dataset), base_model_not_ready, dataset_empty, recipe_invalid, conflict (the adapter belongs to
 * another base model), quota_exceeded, deadline_exceeded, no_worker_fits; those of DataPlanner.
 */
export async function submitJob(
  ports: Ports,
  teamId: string,
  request: CreateJob,
  clonedFrom: string | null = null,
): Promise<JobDetail> {
  const asked = ports.clock.now();
  const { priority, placement, deadline } = request;
  const notBefore = canonical(request.notBefore);
  if (
    deadline !== null &&
    Date.parse(deadline) <= Math.max(Date.parse(asked), Date.parse(notBefore ?? asked))
  )
    throw new LowrankError(
      'deadline_exceeded',
      `The deadline ${deadline} is over before the job may start.`,
      [{ path: 'deadline', message: 'must be later than now, and than notBefore' }],
    );
  // Counting tokens may take seconds: whoever may not submit need not wait for it, and no transaction does.
  await ports.unitOfWork.run((repositories) => checkQueueQuota(repositories, teamId, asked));
  const estimate = await estimateJob(ports, teamId, request);
  const at = ports.clock.now();
  assertFits(estimate, { placement, notBefore }, at);
  // Before its time a job does not wait.
  const queuedAt = notBefore !== null && notBefore > at ? notBefore : at;
  const id = ports.ids.make('job');
  const adapterId = ports.ids.make('adapter');
  return ports.unitOfWork.run(async (repositories) => {
    const { adapters, jobs, outbox } = repositories;
    await checkQueueQuota(repositories, teamId, at);
    const { baseModel, dataset } = await findSubject(repositories, teamId, request);
    const baseModelName = baseModel.name;
    const adapter = await adapters.ensure(teamId, {
      id: adapterId,
      name: request.adapter,
      baseModelName,
      at,
    });
    await jobs.insert(teamId, {
      id,
      baseModel: { id: baseModel.id, name: baseModelName, revision: baseModel.revision },
      dataset: { id: dataset.id, filename: dataset.filename, sha256: dataset.sha256 },
      adapter: adapter.name,
      recipe: request.recipe,
      createdAt: at,
      priority,
      placement,
      notBefore,
      deadline: canonical(deadline),
      clonedFrom,
      queuedAt,
      rankAt: rankAt(queuedAt, priority),
      estimate,
    });
    const job = found(await jobs.detail(teamId, id), 'job', id);
    const message = `Submitted: ${dataset.rows} rows of ${dataset.filename} on ${baseModelName}.`;
    const { epoch, state } = job;
    await jobs.appendEvent(id, { at, epoch, level: 'info', type: 'state', message, state });
    await announceMove(repositories, teamId, job, { state, message, at });
    await outbox.add({ jobId: id, epoch: job.epoch, workerId: null });
    return job;
  });
}

/** An ISO time as times are written everywhere here, so that they can be compared as text. */
const canonical = (time: string | null): string | null =>
  time === null ? null : new Date(time).toISOString();
