import { type JobLogLine, logLineCharacters } from '@lowrank/contracts';
import { type Ports } from '../ports';
import { type AttemptRef } from './attempt';

/** Lines kept of a job's log, whatever the number of its attempts: 5 MB at most. */
export const keptLogLines = 5000;

export type LogEntry = Pick<JobLogLine, 'at' | 'level' | 'message'>;

/**
 * Adds lines that a trainer wrote to its job's log; long ones are cut. Resolves to false, writing nothing, when the job has moved on to
 * another attempt. Unlike other reports it is let through after the end of the attempt, whose last words may come late.
 */
export function reportLog(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  { jobId, epoch }: AttemptRef,
  lines: LogEntry[],
): Promise<boolean> {
  const kept = lines.slice(-keptLogLines).map(({ at, level, message }) => ({
    ...{ at, level, epoch },
    message: message.length > logLineCharacters ? `${message.slice(0, logLineCharacters - 1)}…` : message,
  }));
  return unitOfWork.run(async ({ jobs }) => {
    const job = await jobs.lock(jobId);
    if (job?.epoch !== epoch) return false;
    await jobs.appendLog(jobId, kept, keptLogLines);
    return true;
  });
}
