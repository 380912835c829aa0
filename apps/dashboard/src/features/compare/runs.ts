import { type Job, type JobCurve, type JobState, type SweepWithTrials } from '@lowrank/contracts';
import { fieldAt, fieldsOf } from '../../lib/recipe';

/** A run as it is compared: what it was given, and what came of it. */
export interface Run {
  id: string;
  name: string;
  state: JobState;
  /** Fields of the recipe that differ among the runs, by path. */
  parameters: Record<string, unknown>;
  /** On the rows held out, after its last evaluation; null: none yet. */
  loss: number | null;
  accuracy: number | null;
  step: number;
  totalSteps: number | null;
  version: number | null;
}

/** The trials of a sweep. */
export const runsOfSweep = ({ trials }: SweepWithTrials): Run[] =>
  trials.map(({ number, jobId, state, parameters, result, latest, step, totalSteps, version }) => ({
    ...{ id: jobId, name: `Trial ${number}`, state, parameters, step, totalSteps, version },
    loss: (result ?? latest)?.loss ?? null,
    accuracy: (result ?? latest)?.accuracy ?? null,
  }));

/** Jobs with the fields of their recipes in which they differ, and their last evaluations. */
export function runsOfJobs(jobs: readonly Job[], curves: readonly JobCurve[]): Run[] {
  const paths = [...new Set(jobs.flatMap(({ recipe }) => Object.keys(fieldsOf(recipe))))].filter(
    (path) => new Set(jobs.map(({ recipe }) => JSON.stringify(fieldAt(recipe, path)))).size > 1,
  );
  return jobs.map((job) => {
    const metrics = curves.find((curve) => curve.job === job.id)?.metrics ?? [];
    const last = metrics.filter(({ kind }) => kind === 'eval').at(-1);
    return {
      ...{ id: job.id, state: job.state, step: job.step, totalSteps: job.totalSteps, version: job.version },
      name: `${job.adapter}${job.version === null ? '' : ` v${job.version}`} …${job.id.slice(-6)}`,
      parameters: Object.fromEntries(paths.map((path) => [path, fieldAt(job.recipe, path)])),
      loss: last?.loss ?? null,
      accuracy: last?.accuracy ?? null,
    };
  });
}

/** The runs that a state and a text, anywhere in their names and parameters, let through. */
export const matching = (runs: readonly Run[], { state, text }: { state?: string; text?: string }): Run[] =>
  runs.filter(
    (run) =>
      (state === undefined || run.state === state) &&
      (text === undefined ||
        `${run.name} ${JSON.stringify(run.parameters)}`.toLowerCase().includes(text.toLowerCase())),
  );

export interface Axis {
  label: string;
  /** Where a run stands on it, from 0 at the bottom to 1; null: nowhere. */
  at: (run: Run) => number | null;
  /** What stands at its ends, and between for words. */
  ticks: { at: number; text: string }[];
}

/** An axis for values that are all numbers, by their sizes where they span more than a hundredfold, or else for words, evenly. */
export function axisOf(
  label: string,
  runs: readonly Run[],
  valueOf: (run: Run) => unknown,
  format: (value: number) => string,
): Axis {
  const values = runs.map(valueOf).filter((value) => value !== null && value !== undefined);
  if (values.length > 0 && values.every((value) => typeof value === 'number')) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const isLog = low > 0 && high / low > 100;
    const scale = (value: number) => (isLog ? Math.log(value) : value);
    const place = (value: number) =>
      high === low ? 0.5 : (scale(value) - scale(low)) / (scale(high) - scale(low));
    const at = (run: Run) => {
      const value = valueOf(run);
      return typeof value === 'number' ? place(value) : null;
    };
    const ends = high === low ? [low] : [low, high];
    return { label, at, ticks: ends.map((value) => ({ at: place(value), text: format(value) })) };
  }
  const words = [...new Set(values.map((value) => JSON.stringify(value)))].sort();
  const place = (i: number) => (words.length === 1 ? 0.5 : i / (words.length - 1));
  return {
    label,
    at: (run) => {
      const i = words.indexOf(JSON.stringify(valueOf(run) ?? null));
      return i < 0 ? null : place(i);
    },
    ticks: words.slice(0, 12).map((text, i) => ({ at: place(i), text: text.replaceAll('"', '') })),
  };
}
