import {
  type CloneJob,
  type CreateJob,
  createJobSchema,
  type ErrorDetail,
  type Job,
  type JobDetail,
  LowrankError,
} from '@lowrank/contracts';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { submitJob } from './submit-job';

/**
 * Submits a job that is as another one, whatever state that is in, but for `changes`. Fields of the recipe are changed one by one, as
 * far down as they are given; a list, or an objective of another type, is replaced whole. Times of the other job are not taken over, nor
 * is its `lora` where a version to start from says it.
 * Errors: not_found; illegal_transition for a job that does not train; recipe_invalid with every field at fault; those of submitJob.
 */
export async function cloneJob(
  ports: Ports,
  teamId: string,
  id: string,
  changes: CloneJob,
): Promise<JobDetail> {
  const job = found(await ports.unitOfWork.run(({ jobs }) => jobs.find(teamId, id)), 'job', id);
  return submitJob(ports, teamId, requestOf(job, changes), id);
}

function requestOf(job: Job, { recipe = {}, ...changes }: CloneJob): CreateJob {
  if (job.work.kind !== 'train')
    throw new LowrankError(
      'illegal_transition',
      `Job ${job.id} does not train (${job.work.kind}); only jobs that train can be cloned.`,
      undefined,
      { help: 'Retry it, or submit the same again.' },
    );
  const { adapter, initFrom, metadata, priority, placement } = job;
  const start =
    changes.initFrom === undefined ? initFrom && `${initFrom.adapter}@v${initFrom.number}` : changes.initFrom;
  const { dropout, initIterations, dtype } = job.recipe.lora;
  const old = start === null ? job.recipe : { ...job.recipe, lora: { dropout, initIterations, dtype } };
  const parsed = createJobSchema.safeParse({
    baseModel: job.baseModel.id,
    dataset: job.dataset.id,
    validationDataset: job.validationDataset?.id ?? null,
    adapter,
    metadata,
    priority,
    placement,
    ...changes,
    initFrom: start,
    recipe: merged(old, recipe),
  });
  if (parsed.success) return parsed.data;
  const details: ErrorDetail[] = parsed.error.issues.map(({ path, message }) => ({
    path: path.join('.'),
    message,
  }));
  throw new LowrankError(
    'recipe_invalid',
    `The recipe of job ${job.id} with these changes is none: ${details.map(({ path, message }) => `${path}: ${message}`).join('; ')}.`,
    details,
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function merged(old: unknown, changes: unknown): unknown {
  if (!isObject(old) || !isObject(changes)) return changes;
  // An objective of another type has other fields.
  if (changes.type !== undefined && changes.type !== old.type) return changes;
  const entries = Object.entries(changes).map(([key, value]) => [
    key,
    Object.hasOwn(old, key) ? merged(old[key], value) : value,
  ]);
  return { ...old, ...Object.fromEntries(entries) };
}
