import {
  type BaseModel,
  type CreateSweep,
  type Dataset,
  LowrankError,
  type SweepWithTrials,
} from '@lowrank/contracts';
import { after } from '../clock-and-ids';
import { checkJob } from '../jobs/check-job';
import { checkQueueQuota } from '../jobs/quotas';
import { addJobs, factsOf, materialOf, scheduleOf } from '../jobs/submit-job';
import { type Ports } from '../ports';
import { patternTime } from '../recipe/patterns';
import { sweepWithTrials } from './control-sweep';
import { makeTrials, Problems, type Trial } from './trials';

/** Milliseconds that the patterns of all trials together may hold up everyone else here. */
const patternMs = 1000;

/**
 * Accepts a sweep: makes its trials, checks each as a job is checked, and writes the sweep and one job a trial. All of that is one
 * transaction: either every trial is queued, in the order of their numbers, or nothing is.
 *
 * Errors: those of submitJob; recipe_invalid names the trials and their fields.
 */
export async function submitSweep(
  ports: Ports,
  teamId: string,
  request: CreateSweep,
): Promise<SweepWithTrials> {
  const at = ports.clock.now();
  const schedule = scheduleOf(request, at);
  const trials = makeTrials(request).map((trial) => ({ ...trial, jobId: ports.ids.make('job') }));
  const id = ports.ids.make('sweep');
  const adapterId = ports.ids.make('adapter');
  const { recipe: common, space, method, metric, maxConcurrent } = request;
  return ports.unitOfWork.run(async (repositories) => {
    await checkQueueQuota(repositories, teamId, at, trials.length);
    const { baseModel, dataset } = await materialOf(repositories, teamId, request);
    checkTrials(trials, request, baseModel, dataset);
    const { name: adapter } = await repositories.adapters.ensure(teamId, {
      id: adapterId,
      name: request.adapter,
      baseModelName: baseModel.name,
      at,
    });
    const facts = { ...factsOf(baseModel, dataset), adapter, createdAt: at };
    await repositories.sweeps.insert(teamId, {
      ...facts,
      ...{ id, recipe: common, space, method, metric, maxConcurrent },
    });
    const jobs = trials.map(({ number, jobId, recipe }) => ({
      ...{ ...facts, ...schedule },
      ...{ id: jobId, recipe, clonedFrom: null, sweep: { id, trial: number } },
      // Trials of the same priority go in the order of their numbers.
      rankAt: after(schedule.rankAt, number - 1),
    }));
    await addJobs(repositories, teamId, dataset, jobs);
    await repositories.sweeps.addTrials(id, trials);
    return sweepWithTrials(repositories, teamId, id);
  });
}

function checkTrials(
  trials: readonly Trial[],
  { space }: CreateSweep,
  baseModel: BaseModel,
  dataset: Dataset,
): void {
  const time = patternTime(patternMs);
  const problems = new Problems(space);
  for (const { number, parameters, recipe } of trials) {
    try {
      checkJob(recipe, baseModel, dataset, time);
    } catch (error) {
      if (!(error instanceof LowrankError) || error.code !== 'recipe_invalid') throw error;
      const details = (error.details ?? []).map(({ path = '', message }) => ({
        path: path.replace(/^recipe\./, ''),
        message,
      }));
      problems.add(number, parameters, details);
    }
    if (problems.enough) break;
  }
  problems.throwIfAny();
}
