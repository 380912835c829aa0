import { type LoggerOptions } from 'pino';
import { traceIdNow } from './spans';

/** What must not be read in a log, and what stands there instead. */
const secretShapes: readonly [RegExp, string][] = [
  [/lrk_[A-Za-z0-9_-]{20,}/g, 'lrk_***'],
  [/whsec_[A-Za-z0-9+/]{16,}={0,2}/g, 'whsec_***'],
  [/\b(Bearer|Basic) +[^\s"\\,]+/gi, '$1 ***'],
  [/\bhf_[A-Za-z0-9]{20,}/g, 'hf_***'],
  // The password of a URL, up to the last @ of its host part: people forget to encode the others.
  [/(:\/\/[^\s/:@"\\]*):[^\s/"\\]+@/g, '$1:***@'],
  // A query's parameters and an object's fields of such names.
  [/([?&](?:\w*password|\w*secret|\w*token|api_?key|x-amz-signature)=)[^\s&"\\]+/gi, '$1***'],
  [/("(?:\w*password|\w*secret|secretAccessKey|authorization|cookie|api_?key)":")(?:[^"\\]|\\.)+/gi, '$1***'],
];
/** Shorter values would be found where they are no secrets. */
const shortestSecret = 8;

/** What none of them is found without: looking for all of them in turn takes longer than the rest of a line. */
const anyShape =
  /lrk_|whsec_|bearer|basic|hf_|:\/\/|password|secret|token|api_?key|signature|authorization|cookie/i;

/** The forms in which known secrets may stand in a line. */
const formsOf = (known: readonly string[]): string[] => [
  ...new Set(
    known
      .filter((secret) => secret.length >= shortestSecret)
      .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]),
  ),
];

/** A line of a log without API keys, webhooks' secrets, credentials of headers and URLs, and the values of `known`. */
export const withoutSecrets = (line: string, known: readonly string[] = []): string =>
  withoutForms(line, formsOf(known));

function withoutForms(line: string, forms: readonly string[]): string {
  let clean = line;
  for (const form of forms) clean = clean.replaceAll(form, '***');
  if (!anyShape.test(clean)) return clean;
  for (const [shape, instead] of secretShapes) clean = clean.replace(shape, instead);
  return clean;
}

export interface LogOptions {
  service: 'lowrank-api' | 'lowrank-worker' | 'lowrank-serve';
  level: string;
  /** Values that are in no line, whatever says them. */
  secrets?: readonly (string | null | undefined)[];
  /** Lines for people. Unless given: where standard output is a terminal and NODE_ENV is not `production`. */
  pretty?: boolean;
}

/** How API and workers log: a JSON object a line, with the id of the trace that it belongs to; nothing in it that is a secret. */
export function logOptions({ service, level, secrets = [], pretty }: LogOptions): LoggerOptions {
  const forms = formsOf(secrets.filter((secret) => typeof secret === 'string'));
  const isPretty = pretty ?? (process.stdout.isTTY && process.env.NODE_ENV !== 'production');
  return {
    level,
    base: { service, pid: process.pid },
    mixin: () => {
      const traceId = traceIdNow();
      return traceId === null ? {} : { traceId };
    },
    hooks: { streamWrite: (line) => withoutForms(line, forms) },
    ...(isPretty ? { transport: { target: 'pino-pretty', options: { ignore: 'pid,service' } } } : {}),
  };
}
