import { type CreateJobInput } from '@lowrank/contracts';
import { type Command, InvalidArgumentError } from 'commander';

export interface SchedulingOptions {
  priority?: number;
  device?: string[];
  memory?: number;
  notBefore?: string;
  deadline?: string;
}

type Scheduling = Pick<CreateJobInput, 'priority' | 'placement' | 'notBefore' | 'deadline'>;

/** The options that say when and where a job runs; what they leave out, the server fills in. */
export const addSchedulingOptions = (command: Command): Command =>
  command
    .option('--priority <n>', 'from -100 to 100; higher goes first within the team', priority)
    .option('--device <class...>', 'device classes that it may run on; see: lowrank workers')
    .option('--memory <GB>', "gigabytes of a worker's memory that it needs", gigabytes)
    .option('--not-before <time>', 'do not start it before, e.g. 2026-12-24T18:00:00Z', time)
    .option('--deadline <time>', 'let it fail if it is not done by then', time);

/** Only what was given. */
export function makeScheduling({
  priority,
  device,
  memory,
  notBefore,
  deadline,
}: SchedulingOptions): Scheduling {
  const placement = {
    ...(device === undefined ? {} : { deviceClasses: device }),
    ...(memory === undefined ? {} : { memoryBytes: memory }),
  };
  return {
    ...(priority === undefined ? {} : { priority }),
    ...(Object.keys(placement).length === 0 ? {} : { placement }),
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(deadline === undefined ? {} : { deadline }),
  };
}

export function priority(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || Math.abs(value) > 100)
    throw new InvalidArgumentError('It must be a whole number from -100 to 100.');
  return value;
}

function gigabytes(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('It must be a number above 0.');
  return Math.round(value * 1e9);
}

/** Any time that JavaScript reads, in UTC; one without a zone is of this machine. */
function time(text: string): string {
  const value = new Date(text);
  if (Number.isNaN(value.getTime()))
    throw new InvalidArgumentError('It must be a time such as 2026-12-24T18:00:00Z.');
  return value.toISOString();
}
