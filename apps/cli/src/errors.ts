import { LowrankError, type ErrorCode } from '@lowrank/contracts';
import { CommanderError } from 'commander';

/** What the process ends with; `lowrank --help` lists them. */
export const exitCodes = {
  ok: 0,
  /** The server or the machine refused, or a job failed. */
  failed: 1,
  /** Wrong arguments or input. */
  usage: 2,
  /** No server answered. */
  unreachable: 3,
  /** No API key, or not a good one. */
  unauthorized: 4,
  interrupted: 130,
} as const;

/** A failure on this side of the network: `message` says what was wrong, `help` what to do. */
export class CliError extends Error {
  constructor(
    message: string,
    readonly options: { help?: string; exitCode?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'CliError';
  }
}

const usageCodes: readonly ErrorCode[] = [
  'validation_failed',
  'dataset_invalid',
  'dataset_empty',
  'recipe_invalid',
  'body_too_large',
  'unsupported_media_type',
];

/** What to print for an error and what to end with. Stack traces only when `verbose`. */
export function describeFailure(error: unknown, verbose: boolean): { text: string; exitCode: number } {
  if (error instanceof CommanderError) {
    // Commander has printed its message; help and version end with 0.
    return { text: '', exitCode: error.exitCode === 0 ? exitCodes.ok : exitCodes.usage };
  }
  const lines: string[] = [];
  let exitCode: number = exitCodes.failed;
  if (error instanceof LowrankError) {
    lines.push(`error ${error.code}: ${error.message}`);
    for (const detail of error.details ?? []) {
      const where = [detail.line === undefined ? '' : `line ${detail.line}`, detail.path ?? '']
        .filter(Boolean)
        .join(', ');
      lines.push(`  ${where ? `${where}: ` : ''}${detail.message}`);
    }
    lines.push(error.help);
    if (usageCodes.includes(error.code)) exitCode = exitCodes.usage;
    if (error.code === 'unauthorized') exitCode = exitCodes.unauthorized;
  } else if (error instanceof CliError) {
    lines.push(`error: ${error.message}`);
    if (error.options.help) lines.push(error.options.help);
    exitCode = error.options.exitCode ?? exitCode;
  } else {
    const message = error instanceof Error ? error.message : String(error);
    lines.push(`error: ${message}`, 'Run again with --verbose for the details.');
  }
  if (verbose && error instanceof Error) {
    lines.push(error.stack ?? '');
    for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
      lines.push(`caused by ${cause.stack ?? cause.message}`);
    }
  }
  return { text: `${lines.filter(Boolean).join('\n')}\n`, exitCode };
}
