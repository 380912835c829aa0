import {
  type Check,
  type Evaluation,
  type EvaluationLimits,
  type Gate,
  LowrankError,
  type Measure,
} from '@lowrank/contracts';

/** Where a version stands by one check of a gate. */
export interface CheckStanding {
  check: Check;
  /** As it was measured on the gate's rows, by its settings; null: it was not. */
  value: number | null;
  passed: boolean;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A value as text that is the same however its fields are ordered, which a database may change. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const fields = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, one]) => `${JSON.stringify(key)}:${canonical(one)}`);
  return `{${fields.join()}}`;
}

/** The same for all that is measured alike: on rows of the same content, by the same settings. */
export const measurementKey = (datasetSha256: string, limits: EvaluationLimits, measure: Measure): string =>
  canonical([datasetSha256, limits, measure]);

/** What evaluations say by key; of several with the same key the first in the list counts. */
export function measuredValues(evaluations: readonly Evaluation[]): Map<string, number> {
  const values = new Map<string, number>();
  for (const { dataset, limits, results } of evaluations.toReversed())
    for (const { measure, value } of results)
      values.set(measurementKey(dataset.sha256, limits, measure), value);
  return values;
}

/** Where a version stands by a gate. `evaluations`: the version's, the newest first. */
export function standingOf(
  { dataset, limits, checks }: Pick<Gate, 'dataset' | 'limits' | 'checks'>,
  evaluations: readonly Evaluation[],
): CheckStanding[] {
  const values = measuredValues(evaluations);
  return checks.map((check) => {
    const value = values.get(measurementKey(dataset.sha256, limits, check.measure)) ?? null;
    return { check, value, passed: value !== null && reaches(value, check) };
  });
}

const reaches = (value: number, { threshold, direction }: Check): boolean =>
  direction === 'at-least' ? value >= threshold : value <= threshold;

const nameOf = ({ direction, threshold }: Check): string => `${direction.replace('-', ' ')} ${threshold}`;

/** A check as people read it: `loss 1.2345, at most 1.2`. */
export const describeStanding = ({ check, value }: CheckStanding): string => {
  const measured = value === null ? 'is not measured' : Number(value.toFixed(6)).toString();
  return `${check.measure.metric} ${measured}, needed is ${nameOf(check)}`;
};

/** Throws LowrankError gate_not_passed, naming what is missing, unless all checks pass. */
export function assertPassed(gate: Gate, version: number, standing: readonly CheckStanding[]): void {
  const missing = standing.flatMap((one, i) =>
    one.passed ? [] : [{ path: `checks.${i}`, message: describeStanding(one) }],
  );
  if (missing.length === 0) return;
  const isMeasured = standing.every(({ value }) => value !== null);
  throw new LowrankError(
    'gate_not_passed',
    `${gate.adapter} v${version} ${isMeasured ? 'does not pass' : 'has not been evaluated for'} the gate of alias '${gate.alias}' ` +
      `(${gate.dataset.filename}): ${missing.map(({ message }) => message).join('; ')}.`,
    missing,
  );
}
