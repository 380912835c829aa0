import { needsOf } from '../dispatch/placed';
import { type JobRecord } from '../ports/repositories';

/** What a job's trainer takes, bytes. */
export interface JobMemory {
  bytes: number;
  /** Of that, what another job on the same base in the same process does not need again. */
  sharedBytes: number;
}

/** What a job takes of a worker's memory: what it was submitted with, or its estimate; null where neither is known. */
export function memoryOf(
  job: Pick<JobRecord, 'placement' | 'estimatedBytes' | 'sharedBytes'>,
): JobMemory | null {
  const { memoryBytes: bytes } = needsOf(job);
  return bytes === null ? null : { bytes, sharedBytes: Math.min(bytes, job.sharedBytes ?? 0) };
}

/** What a trainer takes that trains these together. */
export const memoryTogether = (jobs: readonly JobMemory[]): number =>
  jobs.reduce((sum, { bytes, sharedBytes }) => sum + bytes - sharedBytes, 0) +
  Math.max(0, ...jobs.map(({ sharedBytes }) => sharedBytes));
