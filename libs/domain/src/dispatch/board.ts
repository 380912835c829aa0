import { type Needs, type PlacedJob, type PlanWorker, type WaitingJob } from './state';

/** A worker while a plan is made. */
export interface Place {
  worker: PlanWorker;
  /** Slots with nobody in them or on the way; below 0 when a job waits for another to leave. */
  free: number;
  freeBytes: number;
  /** Slots that jobs are leaving and nobody is bound for. */
  expected: number;
  /** The job that it is kept for. */
  heldFor: string | null;
}

export const accepts = (
  { deviceClass }: Pick<PlanWorker, 'deviceClass'>,
  { deviceClasses }: Needs,
): boolean => deviceClasses === null || deviceClasses.includes(deviceClass);

/** Bytes that a job takes of a worker. */
export const bytesOn = (
  { memoryBytes, slots }: Pick<PlanWorker, 'memoryBytes' | 'slots'>,
  needs: Pick<Needs, 'memoryBytes'>,
): number => (memoryBytes === 0 ? 0 : (needs.memoryBytes ?? memoryBytes / slots));

/** Workers, their slots and memory, and who has them: what plan.ts moves jobs about on. */
export class Board {
  private readonly places: Place[];
  /** Jobs that can be asked for their slots, the first ones to ask first. */
  private readonly victims: { victim: PlacedJob; place: Place }[] = [];
  private freeSlots = 0;

  constructor(workers: readonly PlanWorker[], placed: readonly PlacedJob[]) {
    const jobsOf = new Map<string, PlacedJob[]>(workers.map(({ id }) => [id, []]));
    for (const job of placed) jobsOf.get(job.workerId)?.push(job);
    this.places = workers.map((worker) => {
      const jobs = jobsOf.get(worker.id) ?? [];
      const free = worker.slots - jobs.length;
      const freeBytes = jobs.reduce((bytes, job) => bytes - bytesOn(worker, job), worker.memoryBytes);
      const leaving = jobs.filter((job) => job.leaving).length;
      // A job that is bound for a slot that another leaves makes `free` negative: that slot is not to be expected twice.
      const expected = Math.max(0, leaving + Math.min(0, free));
      const place: Place = { worker, free, freeBytes, expected, heldFor: null };
      for (const victim of jobs) if (victim.movable && !victim.leaving) this.victims.push({ victim, place });
      return place;
    });
    this.victims.sort((a, b) => byWorth(a.victim, b.victim));
    for (const { free } of this.places) this.freeSlots += Math.max(0, free);
  }

  /** Workers with a free slot. */
  get open(): readonly Place[] {
    return this.places.filter(({ free }) => free > 0);
  }

  get hasFreeSlot(): boolean {
    return this.freeSlots > 0;
  }

  /** The worker that suits a job best: one with its checkpoints, then the one with the most free slots. */
  find(job: WaitingJob): Place | null {
    if (!this.hasFreeSlot) return null;
    let best: Place | null = null;
    for (const place of this.places) {
      const { worker, free, freeBytes, heldFor } = place;
      if (free <= 0 || !accepts(worker, job) || bytesOn(worker, job) > freeBytes) continue;
      if (heldFor !== null && heldFor !== job.id) continue;
      if (best === null || suitsBetter(place, best, job)) best = place;
    }
    return best;
  }

  /** Gives a job a slot of the worker that suits it, which there has to be. Returns the worker's id. */
  place(job: WaitingJob): string {
    const place = this.find(job);
    if (place === null) throw new Error(`no worker for job ${job.id}`);
    place.free -= 1;
    this.freeSlots -= 1;
    place.freeBytes -= bytesOn(place.worker, job);
    if (place.heldFor === job.id) place.heldFor = null;
    return place.worker.id;
  }

  /**
   * Keeps a worker on which the job takes more than an even share of the memory from getting others: the emptiest. Such a job would never
   * find one empty enough otherwise.
   */
  holdFor(job: WaitingJob, bytes: number): void {
    const candidates = this.places.filter(
      ({ worker, heldFor, free }) =>
        heldFor === null &&
        free > 0 &&
        accepts(worker, job) &&
        bytes > worker.memoryBytes / worker.slots &&
        bytes <= worker.memoryBytes,
    );
    const emptiest = candidates.sort((a, b) => b.freeBytes - a.freeBytes)[0];
    if (emptiest) emptiest.heldFor = job.id;
  }

  /** Whether a slot that the job fits into is being left already; counts on it once. */
  expectSlot(job: WaitingJob): boolean {
    const place = this.places.find(({ worker, expected }) => expected > 0 && accepts(worker, job));
    if (!place) return false;
    place.expected -= 1;
    return true;
  }

  /** The job of lower priority that is to make room: of the lowest priority, and of those the one that began last. */
  victimFor(job: WaitingJob, mayTakeFrom: (victim: PlacedJob) => boolean): PlacedJob | null {
    for (const { victim, place } of this.victims) {
      if (victim.priority >= job.priority) return null;
      const { worker, freeBytes } = place;
      if (!accepts(worker, job) || bytesOn(worker, job) > freeBytes + bytesOn(worker, victim)) continue;
      if (mayTakeFrom(victim)) return victim;
    }
    return null;
  }

  /** A job is bound for the slot that another is asked for. */
  replace(victim: PlacedJob, job: WaitingJob): void {
    const index = this.victims.findIndex((other) => other.victim === victim);
    const place = this.victims.splice(index, 1)[0]?.place;
    if (place) place.freeBytes += bytesOn(place.worker, victim) - bytesOn(place.worker, job);
  }
}

function suitsBetter(a: Place, b: Place, job: WaitingJob): boolean {
  const [here, there] = [a.worker.hostname === job.host, b.worker.hostname === job.host];
  if (here !== there) return here;
  return a.free !== b.free ? a.free > b.free : a.worker.id < b.worker.id;
}

/** Of the lowest priority first, and of those the one that began last. */
const byWorth = (a: PlacedJob, b: PlacedJob): number =>
  a.priority - b.priority || (b.since ?? 0) - (a.since ?? 0);
