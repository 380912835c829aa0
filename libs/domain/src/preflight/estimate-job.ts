import {
  type CreateJob,
  type ErrorDetail,
  type Estimate,
  type EstimateJob,
  LowrankError,
  type Placement,
  type Recipe,
} from '@lowrank/contracts';
import { type DataPlan } from '../batches/data-plan';
import { before } from '../clock-and-ids';
import { workerSeenWithinMs } from '../dispatch/overview';
import { checkJob } from '../jobs/check-job';
import { type Material, materialOf } from '../jobs/material';
import { type Ports } from '../ports';
import { decideRecipe } from '../recipe/continued';
import { type DataPlanner, type Uncounted } from '../ports/data-planner';
import { estimateMemory, makeEstimate } from './estimate';
import { proposeChanges } from './proposals';
import { gigabytes, largestOf, mayRunOn, threadsOf } from './workers';

/** Finished jobs of a device class that a time is predicted from. */
const mostRuns = 50;

export const noPlanner: DataPlanner = {
  plan: async (): Promise<Uncounted> => ({ problem: 'nothing here can count them' }),
};

/** What of a recipe decides the plan of its data. */
const planKey = ({ objective, training, evaluation }: Recipe): string => {
  const { epochs, steps, sequenceLength, rows, accumulation, tooLong, seed } = training;
  const { fraction } = evaluation;
  return JSON.stringify([
    objective.type,
    { epochs, steps, sequenceLength, rows, accumulation, tooLong, seed, fraction },
  ]);
};

/**
 * Estimates recipes that have base model, dataset and placement in common, as they are now; recipes that make the same of the data
 * plan them once. Its errors: those of DataPlanner.
 */
export async function estimatorOf(
  { unitOfWork, clock, planner = noPlanner }: Pick<Ports, 'unitOfWork' | 'clock' | 'planner'>,
  { baseModel, dataset, validationDataset }: Material,
  placement: Placement,
): Promise<(recipe: Recipe) => Promise<Estimate>> {
  // Times are predicted from what other teams' jobs took, too; nothing else of them is told.
  const { workers, runs } = await unitOfWork.acrossTeams.read(async ({ workers: there, statistics }) => {
    const seen = await there.seenSince(before(clock.now(), workerSeenWithinMs));
    const deviceClasses = [...new Set(seen.map(({ deviceClass }) => deviceClass))];
    const query = { deviceClasses, baseModelId: baseModel.id, limit: mostRuns };
    return { workers: seen, runs: await statistics.finishedRuns(query) };
  });
  const plans = new Map<string, Promise<DataPlan | Uncounted>>();
  const planOf = (recipe: Recipe): Promise<DataPlan | Uncounted> => {
    const key = planKey(recipe);
    const plan = plans.get(key) ?? planner.plan(baseModel, dataset, recipe, validationDataset);
    plans.set(key, plan);
    return plan;
  };
  const able = workers.filter((worker) => mayRunOn(worker, placement));
  const bytesOf = async (recipe: Recipe): Promise<number | null> =>
    estimateMemory({ baseModel, dataset }, recipe, await planOf(recipe), threadsOf(able))?.bytes ?? null;

  return async (recipe) => {
    const planned = await planOf(recipe);
    const estimate = makeEstimate({ baseModel, dataset, recipe, placement, planned, workers, runs });
    if (!fitsNowhere(estimate, placement)) return estimate;
    const room = largestOf(able);
    if (placement.memoryBytes === null)
      return { ...estimate, proposals: await proposeChanges(recipe, room, bytesOf) };
    // Another recipe would not change what the placement asks for.
    const bytes = estimate.memory?.bytes ?? Infinity;
    const proposals = bytes <= room ? [{ changes: { 'placement.memoryBytes': bytes }, bytes }] : [];
    return { ...estimate, proposals };
  };
}

/**
 * What is known of a job before it runs: what its data become, memory, time and workers, and who can serve its adapter.
 * Errors: not_found (base model, dataset, version to start from); those of checkJob and of DataPlanner.
 */
export async function estimateJob(
  ports: Pick<Ports, 'unitOfWork' | 'clock' | 'planner'>,
  teamId: string,
  request: EstimateJob,
): Promise<Estimate> {
  const { placement } = request;
  const material = await ports.unitOfWork.run((repositories) => materialOf(repositories, teamId, request));
  const recipe = decideRecipe(request.recipe, material.baseModel, material.initFrom);
  checkJob(recipe, material);
  const estimate = await estimatorOf(ports, material, placement);
  return estimate(recipe);
}

/** Whether there are workers that the job may run on, and none has the memory. */
function fitsNowhere({ devices }: Estimate, placement: Placement): boolean {
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
