import { type JobState, jobStateSchema } from '@lowrank/contracts';
import { before } from '../clock-and-ids';
import { type Ports } from '../ports';
import { listWorkers } from './drain-worker';

/** The state of the whole installation in numbers, of all teams together. */
export interface Overview {
  jobs: { state: JobState; count: number }[];
  /**
   * Jobs that wait and may start by now, by the device class that they ask for: `any` when they ask for none. One that names several counts
   * in each. Classes that no worker has had within the hour are summed up as `other`: names that users make up must not become names of metrics.
   */
  queued: { deviceClass: string; count: number }[];
  /** Of each such class, though none of its workers may be there now. */
  workers: { deviceClass: string; workers: number; slots: number; busy: number; failed: number }[];
  /** What the dispatcher has yet to carry, and for how long the oldest of it has been waiting, seconds. */
  outbox: { entries: number; lagSeconds: number };
}

/** A worker writes its row every few seconds; one that has not for this long is not there. */
export const workerSeenWithinMs = 60_000;
/** The class of a worker is still told of: what scales its workers (deploy/kubernetes) needs the numbers most when none is there. */
const classSeenWithinMs = 3_600_000;

export async function overviewOf(ports: Pick<Ports, 'unitOfWork' | 'clock'>): Promise<Overview> {
  const now = ports.clock.now();
  const known = await listWorkers(ports, before(now, classSeenWithinMs));
  const workers = known.filter(({ seenAt }) => seenAt >= before(now, workerSeenWithinMs));
  const { states, queued, outbox } = await ports.unitOfWork.acrossTeams.read(async ({ statistics }) => ({
    states: await statistics.jobsByState(),
    queued: await statistics.queuedByDeviceClass({ startableAt: now }),
    outbox: await statistics.outbox(),
  }));
  const classes = [...new Set(known.map(({ deviceClass }) => deviceClass))].sort();
  const depth = new Map(['any', ...classes, 'other'].map((name) => [name, 0]));
  for (const { deviceClass, count } of queued) {
    const name = deviceClass === null ? 'any' : classes.includes(deviceClass) ? deviceClass : 'other';
    depth.set(name, (depth.get(name) ?? 0) + count);
  }
  return {
    jobs: everyState(states),
    queued: [...depth].map(([deviceClass, count]) => ({ deviceClass, count })),
    workers: classes.map((deviceClass) => {
      const own = workers.filter((worker) => worker.deviceClass === deviceClass);
      const sum = (field: 'slots' | 'busy') => own.reduce((total, worker) => total + worker[field], 0);
      const failed = own.filter(({ failure }) => failure !== null).length;
      return { deviceClass, workers: own.length, slots: sum('slots'), busy: sum('busy'), failed };
    }),
    outbox: outboxLag(outbox, now),
  };
}

/** Every state once, whether a job is in it or not. */
export const everyState = (counts: Overview['jobs']): Overview['jobs'] =>
  jobStateSchema.options.map((state) => ({
    state,
    count: counts.find((one) => one.state === state)?.count ?? 0,
  }));

/** The outbox with the age of its oldest entry instead of its time. */
export const outboxLag = (
  { entries, oldestAt }: { entries: number; oldestAt: string | null },
  now: string,
): Overview['outbox'] => ({
  entries,
  lagSeconds: oldestAt === null ? 0 : Math.max(0, (Date.parse(now) - Date.parse(oldestAt)) / 1000),
});
