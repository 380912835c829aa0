import { type Check, type EvaluationMetric, type Measure } from '@lowrank/contracts';

/** A measure as a form has it: all fields as text, those of other metrics too, and for a gate where it has to be. */
export interface MeasureDraft {
  metric: EvaluationMetric;
  ignoreCase: boolean;
  pattern: string;
  /** JSON. */
  schema: string;
  threshold: string;
}

export const newDraft = (metric: EvaluationMetric = 'loss'): MeasureDraft => ({
  ...{ metric, ignoreCase: false, pattern: '', schema: '{"type": "object"}' },
  threshold: metric === 'loss' ? '1.5' : '0.9',
});

/** The measure that a form tells of. Throws SyntaxError when its schema is no JSON. */
export function measureOf({ metric, ignoreCase, pattern, schema }: MeasureDraft): Measure {
  switch (metric) {
    case 'loss':
      return { metric };
    case 'exact-match':
      return { metric, ignoreCase };
    case 'regex':
      return { metric, pattern, flags: '' };
    case 'json-schema':
      return { metric, schema: JSON.parse(schema) as Record<string, unknown> };
  }
}

/** A measure in a few words. */
export function measureText(measure: Measure): string {
  switch (measure.metric) {
    case 'loss':
      return 'loss';
    case 'exact-match':
      return measure.ignoreCase ? 'exact match, any case' : 'exact match';
    case 'regex':
      return `matches /${measure.pattern}/${measure.flags}`;
    case 'json-schema':
      return 'JSON of a schema';
  }
}

export const checkText = ({ measure, threshold, direction }: Check): string =>
  `${measureText(measure)} ${direction === 'at-most' ? '≤' : '≥'} ${threshold}`;
