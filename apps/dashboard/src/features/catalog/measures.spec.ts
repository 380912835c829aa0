import { createEvaluationSchema, evaluationMetrics, setGateSchema } from '@lowrank/contracts';
import { checkText, measureOf, newDraft } from './measures';

const dataset = `data_${'a'.repeat(24)}`;
const drafts = evaluationMetrics.map((metric) => ({ ...newDraft(metric), pattern: '^yes' }));

it('makes of every draft what the API takes, for an evaluation and for a gate', () => {
  const measures = drafts.map(measureOf);
  expect(createEvaluationSchema.safeParse({ dataset, measures }).error).toBeUndefined();
  const checks = drafts.map((draft) => ({ measure: measureOf(draft), threshold: Number(draft.threshold) }));
  expect(setGateSchema.parse({ dataset, checks }).checks.map(checkText)).toEqual([
    'loss ≤ 1.5',
    'exact match ≥ 0.9',
    'matches /^yes/ ≥ 0.9',
    'JSON of a schema ≥ 0.9',
  ]);
});

it('refuses a schema that is no JSON', () => {
  expect(() => measureOf({ ...newDraft('json-schema'), schema: '{' })).toThrow(SyntaxError);
});
