import { type TimeBasis } from '@lowrank/contracts';

/** A job that has succeeded, as the device of its last attempt did it. */
export interface FinishedRun {
  deviceClass: string;
  baseModelId: string;
  /** What its estimate counted. */
  operations: number;
  tokens: number;
  /** Of training and evaluating. */
  seconds: number;
}

export interface TimePrediction {
  seconds: number;
  tokensPerSecond: number;
  basis: TimeBasis;
  measuredJobs: number;
}

/** Models whose operations per token differ by no more than this factor get about as much out of a device. */
const similarFactor = 3;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/**
 * The time of a job from finished ones of one device class: its operations over theirs per second. The nearest count: those on the same
 * base model, else those on models of a similar size, else all. Without any, from the operations per second that the class' workers have
 * measured; null when they have not.
 */
export function predictTime(
  runs: readonly FinishedRun[],
  measuredSpeed: number | null,
  job: { baseModelId: string; operations: number; tokens: number },
): TimePrediction | null {
  const perToken = job.operations / job.tokens;
  const bases: [TimeBasis, (run: FinishedRun) => boolean][] = [
    ['base-model', ({ baseModelId }) => baseModelId === job.baseModelId],
    [
      'similar-models',
      ({ operations, tokens }) =>
        Math.abs(Math.log(operations / tokens / perToken)) <= Math.log(similarFactor),
    ],
    ['other-models', () => true],
  ];
  for (const [basis, counts] of bases) {
    const measured = runs.filter((run) => counts(run) && run.seconds > 0 && run.operations > 0);
    if (measured.length === 0) continue;
    // Long runs weigh more than short ones, which the clock and the first step's allocations disturb.
    const perSecond =
      sum(measured.map(({ operations }) => operations)) / sum(measured.map((run) => run.seconds));
    return { ...timeAt(perSecond, job), basis, measuredJobs: measured.length };
  }
  return measuredSpeed === null ? null : { ...timeAt(measuredSpeed, job), basis: 'device', measuredJobs: 0 };
}

function timeAt(perSecond: number, { operations, tokens }: { operations: number; tokens: number }) {
  const seconds = operations / perSecond;
  return { seconds, tokensPerSecond: tokens / seconds };
}
