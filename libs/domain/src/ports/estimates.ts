import { type Estimate } from '@lowrank/contracts';
import { type JobRecord } from './repositories';

/** Estimates of jobs that were made before the tokens of their datasets were counted. */
export interface EstimateRepository {
  /**
   * Of all teams, jobs that train, have not ended, and whose estimate knows nothing of their data: those on the dataset of that content,
   * to train or to be evaluated on, with a base model of that revision. In order of their ids.
   */
  uncounted(query: { datasetSha256: string; baseModelRevision: string; limit: number }): Promise<JobRecord[]>;
  /** Another estimate in the place of a job's, and what the dispatcher reads of it. */
  replace(jobId: string, estimate: Estimate): Promise<void>;
}
