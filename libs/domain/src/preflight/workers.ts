import { type DeviceEstimate, type Placement } from '@lowrank/contracts';
import { type WorkerRecord } from '../ports/workers';
import { type TimePrediction } from './time';

/** What of a worker decides whether a job can run there. */
export type KnownWorker = Pick<
  WorkerRecord,
  'slots' | 'deviceClass' | 'memoryBytes' | 'threads' | 'operationsPerSecond'
>;

/** Threads of a trainer where no worker says: few megabytes depend on it. */
const usualThreads = 8;

export const mayRunOn = (
  { deviceClass }: Pick<KnownWorker, 'deviceClass'>,
  { deviceClasses }: Placement,
): boolean => deviceClasses === null || deviceClasses.includes(deviceClass);

/** Most threads that a trainer gets on one of these workers: each takes some memory. */
export function threadsOf(workers: readonly KnownWorker[]): number {
  const known = workers.filter(({ threads }) => threads > 0);
  const most = Math.max(...known.map(({ threads, slots }) => Math.max(1, Math.floor(threads / slots))));
  return known.length === 0 ? usualThreads : most;
}

/** What a slot of these workers does in a second, by the mean of those that have measured it; null: none has. */
export function speedOf(workers: readonly KnownWorker[]): number | null {
  const known = workers.flatMap(({ operationsPerSecond }) => operationsPerSecond ?? []);
  return known.length === 0 ? null : known.reduce((sum, speed) => sum + speed, 0) / known.length;
}

/** Memory of the largest of some workers; 0: it is not known of one, and then anything fits. */
export const largestOf = (workers: readonly KnownWorker[]): number =>
  workers.some(({ memoryBytes }) => memoryBytes === 0)
    ? 0
    : Math.max(...workers.map(({ memoryBytes }) => memoryBytes));

/** `1.50 GB`: decimal, as the CLI writes it. */
export const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;

/** Each device class of the workers with what a job would find there. `needed`: bytes of its placement, or else predicted ones. */
export function estimateDevices(
  workers: readonly KnownWorker[],
  placement: Placement,
  needed: number | null,
  timeOn: (deviceClass: string) => TimePrediction | null,
): DeviceEstimate[] {
  const classes = [...new Set(workers.map(({ deviceClass }) => deviceClass))].sort();
  return classes.map((deviceClass) => {
    const own = workers.filter((worker) => worker.deviceClass === deviceClass);
    const memoryBytes = largestOf(own);
    const isWanted = mayRunOn({ deviceClass }, placement);
    const hasRoom = needed === null || memoryBytes === 0 || needed <= memoryBytes;
    const tooSmall = (bytes: number) =>
      `it takes ${gigabytes(bytes)} at its peak, and the largest of these workers has ${gigabytes(memoryBytes)}`;
    const time = timeOn(deviceClass);
    return {
      deviceClass,
      workers: own.length,
      memoryBytes,
      fits: isWanted && hasRoom,
      reason: !isWanted ? 'the job asks for other device classes' : hasRoom ? null : tooSmall(needed ?? 0),
      seconds: time?.seconds ?? null,
      tokensPerSecond: time?.tokensPerSecond ?? null,
      basis: time?.basis ?? null,
      measuredJobs: time?.measuredJobs ?? 0,
    };
  });
}
