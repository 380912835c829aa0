import { type CreateJobInput, createJobSchema } from '@lowrank/contracts';
import { readFile, stat } from 'node:fs/promises';
import { parse } from 'yaml';
import { CliError, exitCodes } from './errors';

/** Bytes of the longest file that is read as a job; a recipe is a few thousand. */
const longest = 1 << 20;

/** Whether a name is that of a job written down, not of data. */
export const isJobFile = (name: string): boolean => /\.ya?ml$/i.test(name);

/** A job as a YAML file has it, with the fields of `POST /api/v1/jobs`. Error: CliError saying every field at fault. */
export async function readJobFile(path: string): Promise<CreateJobInput> {
  const wrong = (message: string, cause?: unknown) =>
    new CliError(message, { exitCode: exitCodes.usage, cause });
  const text = await textOf(path).catch((cause) => {
    throw wrong(`cannot read ${path}: ${cause.message}`, cause);
  });
  let job: unknown;
  try {
    job = parse(text);
  } catch (cause) {
    throw wrong(`${path} is not YAML: ${(cause as Error).message}`, cause);
  }
  const { error } = createJobSchema.safeParse(job);
  if (error === undefined) return job as CreateJobInput;
  const problems = error.issues.map(({ path: field, message }) => `  ${field.join('.') || 'it'}: ${message}`);
  throw wrong(`${path} is not a job:\n${problems.join('\n')}`);
}

async function textOf(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > longest) throw new Error(`it has ${size} bytes, which is too much for a job`);
  return readFile(path, 'utf8');
}
