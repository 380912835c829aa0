import {
  type CreateSweep,
  type Estimate,
  LowrankError,
  training,
  type SweepWithTrials,
} from '@lowrank/contracts';
import { versionNameOf } from '../catalog/lineage';
import { after } from '../clock-and-ids';
import { checkJob } from '../jobs/check-job';
import { checkQueueQuota } from '../jobs/quotas';
import { factsOf, type Material, materialOf } from '../jobs/material';
import { addJobs, scheduleOf, submitted } from '../jobs/submit-job';
import { type Ports } from '../ports';
import { assertFits, estimatorOf } from '../preflight/estimate-job';
import { patternTime } from '../recipe/patterns';
import { sweepWithTrials } from './control-sweep';
import { decideFrom, makeTrials, Problems, type Trial } from './trials';

/** Milliseconds that the patterns of all trials together may hold up everyone else here. */
const patternMs = 1000;

/**
 * Accepts a sweep: makes its trials, checks and estimates each as a job, and writes the sweep and one job a trial. All writing is one
 * transaction: either every trial is queued, in the order of their numbers, or nothing is.
 *
 * Errors: those of submitJob; recipe_invalid names the trials and their fields, no_worker_fits the first trial that fits nowhere.
 */
export async function submitSweep(
  ports: Ports,
  teamId: string,
  request: CreateSweep,
): Promise<SweepWithTrials> {
  scheduleOf(request, ports.clock.now());
  // What does not ask for a version needs nothing but the request.
  const alone = request.initFrom === null ? makeTrials(request) : null;
  const { material, made } = await ports.unitOfWork.run(async (repositories) => {
    const found = await materialOf(repositories, teamId, request);
    const { baseModel, initFrom } = found;
    const trials =
      alone ?? makeTrials(request, initFrom === null ? undefined : decideFrom(baseModel, initFrom));
    await checkQueueQuota(repositories, teamId, ports.clock.now(), trials.length);
    checkTrials(trials, request, found);
    return { material: found, made: trials };
  });
  const initFrom = material.initFrom && versionNameOf(material.initFrom);
  const estimated = await estimateTrials(ports, material, made, request);
  const at = ports.clock.now();
  const schedule = scheduleOf(request, at);
  const trials = estimated.map((trial) => ({ ...trial, jobId: ports.ids.make('job') }));
  const id = ports.ids.make('sweep');
  const adapterId = ports.ids.make('adapter');
  const { recipe, space, method, metric, maxConcurrent } = request;
  return ports.unitOfWork.run(async (repositories) => {
    await checkQueueQuota(repositories, teamId, at, trials.length);
    const validation = material.validationDataset?.id ?? null;
    const same = { ...request, dataset: material.dataset.id, validationDataset: validation, initFrom: null };
    const { baseModel, dataset, validationDataset } = await materialOf(repositories, teamId, same);
    const { name: adapter } = await repositories.adapters.ensure(teamId, {
      id: adapterId,
      name: request.adapter,
      baseModelName: baseModel.name,
      at,
    });
    const facts = { ...factsOf(baseModel, dataset, validationDataset), adapter, createdAt: at };
    await repositories.sweeps.insert(teamId, {
      ...facts,
      ...{ id, recipe, space, method, metric, maxConcurrent },
    });
    const jobs = trials.map(({ number, jobId, recipe: own, estimate }) => ({
      ...{ ...facts, ...schedule },
      ...{ id: jobId, recipe: own, metadata: {}, estimate, initFrom, clonedFrom: null },
      ...{ sweep: { id, trial: number }, work: training },
      // Trials of the same priority go in the order of their numbers.
      rankAt: after(schedule.rankAt, number - 1),
    }));
    await addJobs(repositories, teamId, submitted(baseModel.name, dataset), jobs);
    await repositories.sweeps.addTrials(id, trials);
    const told = {
      ...{ adapter, baseModel: baseModel.name, dataset: dataset.id, validationDataset: validation },
      trials: trials.length,
    };
    const start = initFrom && `${initFrom.adapter}@v${initFrom.number}`;
    await repositories.audit.add('submit', { kind: 'sweep', id }, { ...told, initFrom: start });
    return sweepWithTrials(repositories, teamId, id);
  });
}

/** Throws LowrankError no_worker_fits with the number of the first trial that fits no worker. */
async function estimateTrials(
  ports: Ports,
  material: Material,
  trials: readonly Trial[],
  { placement, notBefore }: CreateSweep,
): Promise<(Trial & { estimate: Estimate })[]> {
  const estimate = await estimatorOf(ports, material, placement);
  const estimated: (Trial & { estimate: Estimate })[] = [];
  for (const trial of trials) {
    const known = await estimate(trial.recipe);
    try {
      assertFits(known, { placement, notBefore }, ports.clock.now());
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
      throw new LowrankError(error.code, `Trial ${trial.number}: ${error.message}`, error.details);
    }
    estimated.push({ ...trial, estimate: known });
  }
  return estimated;
}

function checkTrials(trials: readonly Trial[], { space }: CreateSweep, material: Material): void {
  const time = patternTime(patternMs);
  const problems = new Problems(space);
  for (const { number, parameters, recipe } of trials) {
    try {
      checkJob(recipe, material, time);
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
