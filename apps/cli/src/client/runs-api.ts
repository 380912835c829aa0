import {
  type AdapterVersion,
  adapterVersionSchema,
  type JobCheckpoint,
  jobCheckpointsSchema,
  type JobSamples,
  jobSamplesSchema,
} from '@lowrank/contracts';
import { z } from 'zod';
import { type Http } from './http';

const part = encodeURIComponent;
const samplesSchema = z.object({ data: z.array(jobSamplesSchema) });

/** What a job keeps while it trains. */
export class RunsApi {
  constructor(private readonly http: Http) {}

  /** The newest first. */
  async checkpoints(job: string): Promise<JobCheckpoint[]> {
    return (await this.http.json(`/api/v1/jobs/${part(job)}/checkpoints`, jobCheckpointsSchema)).data;
  }

  /** In order of steps. */
  async samples(job: string): Promise<JobSamples[]> {
    return (await this.http.json(`/api/v1/jobs/${part(job)}/samples`, samplesSchema)).data;
  }

  promote(job: string, step: number): Promise<AdapterVersion> {
    const path = `/api/v1/jobs/${part(job)}/checkpoints/${step}/promote`;
    return this.http.json(path, adapterVersionSchema, { method: 'POST', timeoutMs: 0 });
  }
}
