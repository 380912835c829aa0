import { type BaseModel, type Dataset, type Job } from '@lowrank/contracts';
import { randomIds, type UnitOfWork } from '@lowrank/domain';
import { makeBaseModel, makeDataset, makeJob } from './factories';

export interface SeededTeam {
  id: string;
  baseModel: BaseModel;
  dataset: Dataset;
  /** Writes a job on them, queued, and its adapter if need be. */
  addJob(
    overrides?: Parameters<typeof makeJob>[2] & { dataset?: Dataset },
  ): Promise<ReturnType<typeof makeJob>>;
  /** The job as its team sees it. */
  job(id: string): Promise<Job>;
}

/** A team with a base model and a dataset, written through the ports. */
export async function seedTeam(unitOfWork: UnitOfWork, name = 'crew'): Promise<SeededTeam> {
  const baseModel = makeBaseModel({ name: 'tiny' });
  const dataset = makeDataset();
  const id = await unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam(name));
  await unitOfWork.run(async ({ baseModels, datasets }) => {
    await baseModels.insert(id, baseModel);
    await datasets.insert(id, dataset);
  });
  return {
    id,
    baseModel,
    dataset,
    async addJob({ dataset: other = dataset, ...overrides } = {}) {
      const job = makeJob(baseModel, other, overrides);
      await unitOfWork.run(async ({ adapters, jobs }) => {
        const adapter = { id: randomIds.make('adapter'), name: job.adapter, baseModelName: baseModel.name };
        await adapters.ensure(id, { ...adapter, at: job.createdAt });
        await jobs.insert(id, job);
      });
      return job;
    },
    async job(jobId) {
      const job = await unitOfWork.run(({ jobs }) => jobs.find(id, jobId));
      if (!job) throw new Error(`no job ${jobId}`);
      return job;
    },
  };
}
