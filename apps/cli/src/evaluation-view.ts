import { type Evaluation, type Gate, type Measure } from '@lowrank/contracts';
import { formatAge, formatTable } from './terminal';

/** A measure as it is written on the command line, but for the content of a schema. */
export function measureName(measure: Measure): string {
  switch (measure.metric) {
    case 'exact-match':
      return measure.ignoreCase ? 'exact-match:i' : measure.metric;
    case 'regex':
      return `regex:${measure.pattern}`;
    default:
      return measure.metric;
  }
}

/** Nats, or a share in per cent. */
export const measured = (measure: Measure, value: number): string =>
  measure.metric === 'loss' ? value.toFixed(4) : `${(100 * value).toFixed(1)}%`;

/** What a version was measured as, a line a measure. */
export const evaluationLines = (evaluations: Evaluation[]): string[] =>
  formatTable(
    ['MEASURE', 'VALUE', 'ROWS', 'DATASET', 'JOB', 'MADE'],
    evaluations.flatMap(({ results, rows, dataset, jobId, createdAt }) =>
      results.map(({ measure, value }) => [
        ...[measureName(measure), measured(measure, value), String(rows), dataset.filename],
        ...[jobId, formatAge(createdAt)],
      ]),
    ),
  );

/** What to look at first: rows that did not do. */
export const failureLines = ({ results }: Evaluation): string[] =>
  results.flatMap(({ measure, failures }) =>
    failures.map(
      ({ row, answer, problem }) =>
        `${measureName(measure)}, row ${row}: ${JSON.stringify(answer.slice(0, 80))} ${problem}`,
    ),
  );

export const gateLines = (gates: Gate[]): string[] =>
  formatTable(
    ['ALIAS', 'CHECK', 'ROWS AT MOST', 'DATASET', 'SET'],
    gates.flatMap(({ alias, checks, limits, dataset, createdAt }) =>
      checks.map(({ measure, direction, threshold }) => [
        ...[alias, `${measureName(measure)} ${direction === 'at-least' ? '>=' : '<='} ${threshold}`],
        ...[String(limits.maxRows), `${dataset.filename} (${dataset.id})`, formatAge(createdAt)],
      ]),
    ),
  );
