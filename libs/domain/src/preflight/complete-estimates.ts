import { type BaseModel, type Dataset, type Estimate, type Recipe } from '@lowrank/contracts';
import { tell } from '../jobs/with-job';
import { type Ports } from '../ports';
import { type JobRecord } from '../ports/repositories';
import { isFinal } from '../state-machine';
import { estimatorOf } from './estimate-job';

/** Jobs looked at at a time. */
const most = 1000;

/**
 * Makes the estimates again of unfinished jobs that were accepted before the tokens of a dataset were counted, now that they are: steps,
 * time, and the memory that they really take. A job that others have moved on meanwhile keeps what it has of its own; what it is to wait
 * for is the dispatcher's to say. Resolves to how many are complete now. Errors: those of DataPlanner.
 */
export async function completeEstimates(
  ports: Pick<Ports, 'unitOfWork' | 'clock' | 'planner'>,
  { revision }: Pick<BaseModel, 'revision'>,
  { sha256 }: Pick<Dataset, 'sha256'>,
): Promise<number> {
  const everywhere = ports.unitOfWork.acrossTeams;
  const query = { datasetSha256: sha256, baseModelRevision: revision, limit: most };
  const jobs = await everywhere.run(({ estimates }) => estimates.uncounted(query));
  const estimators = new Map<string, Promise<((recipe: Recipe) => Promise<Estimate>) | null>>();
  let completed = 0;
  for (const job of jobs) {
    // Trials of a sweep have all of this in common.
    const { teamId, baseModel, dataset, validationDataset, placement } = job;
    const key = JSON.stringify([teamId, baseModel.id, dataset.id, validationDataset?.id, placement]);
    const estimator = estimators.get(key) ?? estimatorFor(ports, job);
    estimators.set(key, estimator);
    const estimate = await (await estimator)?.(job.recipe);
    if (!estimate?.data) continue;
    const { steps, tokens } = estimate.data;
    const isWritten = await everywhere.run(async (repositories) => {
      const locked = await repositories.jobs.lock(job.id);
      if (locked === null || isFinal(locked.state)) return false;
      await repositories.estimates.replace(job.id, estimate);
      const message = `The tokens are counted: ${steps} steps on ${tokens} tokens.`;
      await tell(repositories, locked, ports.clock.now(), message);
      return true;
    });
    completed += Number(isWritten);
  }
  return completed;
}

/** null: what the job trains on is not there any more. */
async function estimatorFor(
  ports: Pick<Ports, 'unitOfWork' | 'clock' | 'planner'>,
  { teamId, placement, ...job }: JobRecord,
): Promise<((recipe: Recipe) => Promise<Estimate>) | null> {
  const material = await ports.unitOfWork.acrossTeams.run(async ({ baseModels, datasets }) => ({
    baseModel: await baseModels.find(teamId, job.baseModel.id),
    dataset: await datasets.find(teamId, job.dataset.id),
    validationDataset: job.validationDataset && (await datasets.find(teamId, job.validationDataset.id)),
  }));
  const { baseModel, dataset, validationDataset } = material;
  if (baseModel === null || dataset === null) return null;
  return estimatorOf(ports, { baseModel, dataset, validationDataset, initFrom: null }, placement);
}
