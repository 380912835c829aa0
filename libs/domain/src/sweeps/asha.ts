import {
  type Asha,
  evaluationStep,
  type JobMetric,
  type StoppedEarly,
  type SweepMetric,
} from '@lowrank/contracts';
import { tell } from '../jobs/with-job';
import { type JobRecord, type Repositories } from '../ports/repositories';

/*
 * Asynchronous successive halving: Li, Jamieson, Rostamizadeh et al., "A System for Massively Parallel Hyperparameter Tuning",
 * MLSys 2020, in the form that stops trials instead of pausing them and promoting the best.
 */

/** No recipe has more steps. */
const mostSteps = 10_000_000;

/** Where trials are judged, as points of evaluation.at: minimum · reduction^k, below the last step. */
export function rungsOf({ minimum, reduction }: Pick<Asha, 'minimum' | 'reduction'>): number[] {
  const rungs: number[] = [];
  const end = minimum < 1 ? 1 : mostSteps;
  for (let point = minimum; point < end; point *= reduction) rungs.push(Number(point.toPrecision(12)));
  return rungs;
}

/** The rung that an evaluation after `step` of `totalSteps` steps is at; the highest where several fall together. Null: none. */
export function rungAt(
  method: Pick<Asha, 'minimum' | 'reduction'>,
  step: number,
  totalSteps: number,
): number | null {
  if (step >= totalSteps) return null;
  const rung = rungsOf(method).findLastIndex((point) => evaluationStep(point, totalSteps) === step);
  return rung < 0 ? null : rung;
}

/** Whether one value is better than another. */
export const isBetter = (metric: SweepMetric, one: number, other: number): boolean =>
  metric === 'loss' ? one < other : one > other;

/**
 * The worst value that goes on from a rung where `values` have been reported: the best 1 / reduction do, and always the best of all.
 * So of the first few a trial goes on only if it beats those before it, and the best trial that has come so far is never stopped.
 */
export function neededAt(values: readonly number[], reduction: number, metric: SweepMetric): number {
  const best = [...values].sort((a, b) => (isBetter(metric, a, b) ? -1 : Number(a !== b)));
  return best[Math.max(1, Math.floor(values.length / reduction)) - 1] as number;
}

/** What a trial's evaluation is worth to the sweep; null where it does not have the metric. */
export const valueOf = (
  metric: SweepMetric,
  { loss, accuracy }: { loss: number; accuracy: number | null },
): number | null => (metric === 'loss' ? loss : accuracy);

export const describeStop = ({ rung, step, value, needed }: StoppedEarly, metric: SweepMetric): string =>
  `Stopped early at rung ${rung} (step ${step}): held-out ${metric} ${shown(value)}, needed ${shown(needed)}.`;
const shown = (value: number): string => String(Number(value.toPrecision(5)));

/**
 * Judges a trial by evaluations that are being written down, in the same transaction, which has the trial's job locked. One that is
 * not among the best at its rung is asked to stop, as by a cancellation. Decisions of a sweep are taken one after the other, each with all
 * reports before it, and once for each trial and rung. Resolves to whether it asked the trial to stop.
 */
export async function judgeTrial(
  repositories: Pick<Repositories, 'jobs' | 'sweeps'>,
  job: JobRecord,
  metrics: readonly JobMetric[],
  at: string,
): Promise<boolean> {
  const { sweeps, jobs } = repositories;
  const { totalSteps } = job;
  const evaluations = metrics.filter(({ kind, step }) => kind === 'eval' && step > 0);
  if (job.sweep === null || totalSteps === null || evaluations.length === 0) return false;
  const { id, trial } = job.sweep;
  const sweep = await sweeps.lock(id);
  if (sweep?.method.type !== 'asha' || sweep.state !== 'running') return false;
  const { method, metric } = sweep;
  for (const evaluation of evaluations) {
    const { step } = evaluation;
    const rung = rungAt(method, step, totalSteps);
    const value = valueOf(metric, evaluation);
    if (rung === null || value === null) continue;
    if (!(await sweeps.report(id, { rung, trial, step, value, at }))) continue;
    const needed = neededAt(await sweeps.reported(id, rung), method.reduction, metric);
    if (job.cancelRequested || !isBetter(metric, needed, value)) continue;
    const stoppedEarly = { rung, step, value, needed };
    await jobs.update(job.id, job.epoch, { cancelRequested: true, stoppedEarly });
    await tell(repositories, job, at, `${describeStop(stoppedEarly, metric)} The trainer stops.`);
    return true;
  }
  return false;
}
