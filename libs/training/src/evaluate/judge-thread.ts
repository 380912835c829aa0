import { type Measure } from '@lowrank/contracts';
import { type ValidationResult, Validator } from '@cfworker/json-schema';
import { parentPort, workerData } from 'node:worker_threads';

/** One question to the thread: what is wrong with an answer by a measure. `expected` is the row's own. */
export interface Question {
  measure: number;
  answer: string;
  expected: string;
}
/** null: nothing is. `failed`: the measure itself does not work. */
export type Verdict = { problem: string | null } | { failed: string };

type Judgement = (answer: string, expected: string) => string | null;

function readJson(text: string): { value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}

const firstOf = ({ errors }: ValidationResult): string => {
  // The errors of outer schemas only say that an inner one failed.
  const { instanceLocation: where = '#', error = 'is not valid' } = errors.at(-1) ?? {};
  return `${where === '#' ? '' : `${where.slice(2)}: `}${error}`;
};

function judgementOf(measure: Measure): Judgement {
  switch (measure.metric) {
    case 'exact-match': {
      const plain = (text: string) => (measure.ignoreCase ? text.trim().toLowerCase() : text.trim());
      return (answer, expected) => (plain(answer) === plain(expected) ? null : `expected ${expected.trim()}`);
    }
    case 'regex': {
      const pattern = new RegExp(measure.pattern, `${measure.flags}u`);
      return (answer) => (pattern.test(answer) ? null : `has no match of ${pattern}`);
    }
    case 'json-schema': {
      const validator = new Validator(measure.schema, '2020-12');
      return (answer) => {
        const read = readJson(answer);
        if (read === null) return 'is not JSON';
        const result = validator.validate(read.value);
        return result.valid ? null : firstOf(result);
      };
    }
    case 'loss':
      return () => null;
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

// Made when they are asked for, so that one that cannot be made is told of as its own.
const judgements: Judgement[] = [];
parentPort?.on('message', ({ measure, answer, expected }: Question) => {
  const tell = (verdict: Verdict) => parentPort?.postMessage(verdict);
  try {
    const judge = (judgements[measure] ??= judgementOf((workerData as Measure[])[measure] as Measure));
    tell({ problem: judge(answer, expected) });
  } catch (error) {
    tell({ failed: textOf(error) });
  }
});
parentPort?.postMessage('ready');
