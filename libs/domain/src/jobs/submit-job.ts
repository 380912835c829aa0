import { type CreateJob, type Job } from '@lowrank/contracts';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { checkJob } from './check-job';

/**
 * Accepts a job: checks that base model, dataset and recipe go together, makes the adapter if need be, and writes the job, its first
 * event and its outbox row. All of that is one transaction, so an accepted job is always dispatched, whatever dies afterwards.
 *
 * Errors: not_found (base model, dataset), base_model_not_ready, dataset_empty, recipe_invalid, conflict (the adapter belongs to
 * another base model).
 */
export async function submitJob(ports: Ports, teamId: string, request: CreateJob): Promise<Job> {
  const at = ports.clock.now();
  const id = ports.ids.make('job');
  const adapterId = ports.ids.make('adapter');
  return ports.unitOfWork.run(async ({ baseModels, datasets, adapters, jobs, outbox }) => {
    const baseModel = found(
      await baseModels.find(teamId, request.baseModel),
      'base model',
      request.baseModel,
      'baseModel',
    );
    const dataset = found(
      await datasets.find(teamId, request.dataset),
      'dataset',
      request.dataset,
      'dataset',
    );
    checkJob(request.recipe, baseModel, dataset);
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
    });
    const job = found(await jobs.find(teamId, id), 'job', id);
    await jobs.appendEvent(id, {
      at,
      epoch: job.epoch,
      level: 'info',
      type: 'state',
      message: `Submitted: ${dataset.rows} rows of ${dataset.filename} on ${baseModelName}.`,
      state: 'queued',
    });
    await outbox.add({ jobId: id, epoch: job.epoch });
    return job;
  });
}
