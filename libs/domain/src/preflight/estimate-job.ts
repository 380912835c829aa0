import {
  type BaseModel,
  type CreateJob,
  type Dataset,
  type ErrorDetail,
  type Estimate,
  type EstimateJob,
  LowrankError,
} from '@lowrank/contracts';
import { before } from '../clock-and-ids';
import { workerSeenWithinMs } from '../dispatch/overview';
import { checkJob } from '../jobs/check-job';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type DataPlanner, isUncounted, type Uncounted } from '../ports/data-planner';
import { type Repositories } from '../ports/repositories';
import { estimateMemory, makeEstimate } from './estimate';
import { proposeChanges } from './proposals';
import { gigabytes, largestOf, mayRunOn, threadsOf } from './workers';

/** Finished jobs of a device class that a time is predicted from. */
const mostRuns = 50;

/** Base model and dataset of a request. Errors: not_found; those of checkJob. */
export async function findSubject(
  { baseModels, datasets }: Pick<Repositories, 'baseModels' | 'datasets'>,
  teamId: string,
  request: EstimateJob,
): Promise<{ baseModel: BaseModel; dataset: Dataset }> {
  const baseModel = found(
    await baseModels.find(teamId, request.baseModel),
    'base model',
    request.baseModel,
    'baseModel',
  );
  const dataset = found(await datasets.find(teamId, request.dataset), 'dataset', request.dataset, 'dataset');
  checkJob(request.recipe, baseModel, dataset);
  return { baseModel, dataset };
}

const noPlanner: DataPlanner = {
  plan: async (): Promise<Uncounted> => ({ problem: 'nothing here can count them' }),
};

/**
 * What is known of a job before it runs: what its data become, memory, time and workers, and who can serve its adapter.
 * Errors: not_found (base model, dataset); those of checkJob and of DataPlanner.
 */
export async function estimateJob(
  { unitOfWork, clock, planner = noPlanner }: Pick<Ports, 'unitOfWork' | 'clock' | 'planner'>,
  teamId: string,
  request: EstimateJob,
): Promise<Estimate> {
  const { recipe, placement } = request;
  const { baseModel, dataset } = await unitOfWork.run((repositories) =>
    findSubject(repositories, teamId, request),
  );
  const planned = await planner.plan(baseModel, dataset, recipe);
  const { workers, runs } = await unitOfWork.read(async ({ workers: there, statistics }) => {
    const seen = await there.seenSince(before(clock.now(), workerSeenWithinMs));
    const deviceClasses = [...new Set(seen.map(({ deviceClass }) => deviceClass))];
    const query = { deviceClasses, baseModelId: baseModel.id, limit: mostRuns };
    return { workers: seen, runs: await statistics.finishedRuns(query) };
  });
  const estimate = makeEstimate({ baseModel, recipe, placement, planned, workers, runs });
  if (!fitsNowhere(estimate, placement)) return estimate;
  const able = workers.filter((worker) => mayRunOn(worker, placement));
  const room = largestOf(able);
  if (placement.memoryBytes !== null) {
    // Another recipe would not change what the placement asks for.
    const bytes = estimate.memory?.bytes ?? Infinity;
    const proposals = bytes <= room ? [{ changes: { 'placement.memoryBytes': bytes }, bytes }] : [];
    return { ...estimate, proposals };
  }
  const bytesOf = async (changed: typeof recipe): Promise<number | null> => {
    const plan = await planner.plan(baseModel, dataset, changed);
    if (isUncounted(plan)) return null;
    return estimateMemory(baseModel, changed, plan, threadsOf(able))?.bytes ?? null;
  };
  return { ...estimate, proposals: await proposeChanges(recipe, room, bytesOf) };
}

/** Whether there are workers that the job may run on, and none has the memory. */
function fitsNowhere({ devices }: Estimate, placement: CreateJob['placement']): boolean {
  const wanted = devices.filter((device) => mayRunOn(device, placement));
  return wanted.length > 0 && !wanted.some(({ fits }) => fits);
}

/**
 * Throws LowrankError no_worker_fits for a job that none of the workers can run that are there. What may only start later is not refused:
 * there may be others then.
 */
export function assertFits(
  estimate: Estimate,
  { placement, notBefore }: Pick<CreateJob, 'placement' | 'notBefore'>,
  now: string,
): void {
  if (!fitsNowhere(estimate, placement)) return;
  if (notBefore !== null && Date.parse(notBefore) > Date.parse(now)) return;
  const { memory, devices, proposals } = estimate;
  const needed = placement.memoryBytes ?? memory?.bytes ?? 0;
  const details: ErrorDetail[] = [
    ...devices.map(({ deviceClass, reason }) => ({ message: `${deviceClass}: ${reason ?? 'it would fit'}` })),
    ...proposals.map(({ changes, bytes }) => ({
      path: Object.keys(changes)[0],
      message: `with ${Object.entries(changes)
        .map(([path, value]) => `${path} ${value}`)
        .join(', ')} it takes ${gigabytes(bytes)}`,
    })),
  ];
  throw new LowrankError(
    'no_worker_fits',
    `The job takes ${gigabytes(needed)} at its peak${placement.memoryBytes === null ? ' by prediction' : ' by its placement'}, and no worker has that much: ${devices.map(({ deviceClass, memoryBytes }) => `${deviceClass} ${gigabytes(memoryBytes)}`).join(', ')}.`,
    details,
  );
}
