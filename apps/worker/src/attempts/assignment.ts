import { type Assignment, type Dataset } from '@lowrank/contracts';
import { type JobWithInputs, versionNameOf, withSmallerMicroBatches } from '@lowrank/domain';
import { join } from 'node:path';

/** Where a worker keeps files and what a trainer gets. */
export interface Workplace {
  dataDir: string;
  /** Of the whole worker. */
  threads: number;
  slots: number;
  /** Most jobs that one trainer trains together. */
  jobsPerTrainer: number;
}

/** Folder of a job on this machine. Ids are server-made, so they are safe in paths. */
export const jobDirOf = (dataDir: string, jobId: string): string => join(dataDir, 'jobs', jobId);

/** What a trainer needs to know of an attempt. */
export function makeAssignment(
  { job, baseModel, dataset, validationDataset, initFrom }: JobWithInputs,
  { dataDir, threads, slots }: Workplace,
  traceparent: string | null = null,
): Assignment {
  const { id, name, source, revision, files } = baseModel;
  return {
    jobId: job.id,
    epoch: job.epoch,
    work: job.work,
    adapter: job.adapter,
    baseModel: { id, name, source, revision, files },
    dataset: sourceOf(dataset),
    validationDataset: validationDataset && sourceOf(validationDataset),
    recipe: withSmallerMicroBatches(job.recipe, job.memoryRetries) ?? job.recipe,
    initFrom: initFrom && { ...versionNameOf(initFrom), files: initFrom.files },
    jobDir: jobDirOf(dataDir, job.id),
    mirroredStep: job.mirroredStep,
    cacheDir: join(dataDir, 'cache'),
    threads: Math.max(1, Math.floor(threads / slots)),
    traceparent,
  };
}

const sourceOf = ({ id, sha256, format }: Dataset): Assignment['dataset'] => ({ id, sha256, format });
