import { type Check, evaluationMetrics, type Measure, measureSchema } from '@lowrank/contracts';
import { InvalidArgumentError } from 'commander';
import { readFile } from 'node:fs/promises';
import { CliError, exitCodes } from './errors';
import { number } from './option-values';

/** How measures are written on the command line. */
export const measureHelp = `
Measures:
  loss             mean -log p of the assistant's tokens, in nats
  exact-match      share of answers that are the row's own; exact-match:i takes upper and lower case as the same
  regex:PATTERN    share of answers with a match of a JavaScript regular expression
  json-schema:FILE share of answers that are JSON and valid by the schema in a file`;

const wrong = (text: string, why: string): CliError =>
  new CliError(`'${text}' is no measure: ${why}`, {
    help: `Measures are ${evaluationMetrics.join(', ')}; regex and json-schema with what they need, e.g. regex:^yes`,
    exitCode: exitCodes.usage,
  });

/** Reads `loss`, `exact-match`, `regex:^yes` or `json-schema:answer.json`. Error: CliError saying what is wrong. */
export async function readMeasure(text: string): Promise<Measure> {
  const colon = text.indexOf(':');
  const metric = colon === -1 ? text : text.slice(0, colon);
  const rest = colon === -1 ? '' : text.slice(colon + 1);
  const parsed = measureSchema.safeParse(await fieldsOf(metric, rest));
  if (parsed.success) return parsed.data;
  throw wrong(text, parsed.error.issues[0]?.message ?? 'it cannot be read');
}

async function fieldsOf(metric: string, rest: string): Promise<Record<string, unknown>> {
  switch (metric) {
    case 'exact-match':
      return { metric, ...(rest === '' ? {} : { ignoreCase: rest === 'i' || rest }) };
    case 'regex':
      return { metric, pattern: rest };
    case 'json-schema': {
      const text = await readFile(rest, 'utf8');
      try {
        return { metric, schema: JSON.parse(text) as unknown };
      } catch {
        throw wrong(rest, 'the file is not JSON');
      }
    }
    default:
      return { metric };
  }
}

export interface WrittenCheck {
  measure: string;
  threshold: number;
  direction: Check['direction'];
}

/** Reads `loss<=1.2` or `exact-match>=0.9`. Error: InvalidArgumentError, which commander shows with the option's name. */
export function splitCheck(text: string): WrittenCheck {
  const [, measure, sign, threshold] = /^(.+?)(<=|>=)([^<>=]+)$/s.exec(text) ?? [];
  if (measure === undefined || threshold === undefined)
    throw new InvalidArgumentError('It must be a measure and where it has to be, e.g. exact-match>=0.9.');
  return { measure, threshold: number(threshold), direction: sign === '>=' ? 'at-least' : 'at-most' };
}

/** Takes an option that may be given several times. */
export const collected =
  <T>(read: (text: string) => T) =>
  (text: string, before: T[] | undefined): T[] => [...(before ?? []), read(text)];
