import { bySlot, runOn } from '../parties/party';
import { type PartyRecord } from '../ports/parties';
import { type JobRecord, type PlacedRecord, type Repositories } from '../ports/repositories';
import { type WorkerRecord } from '../ports/workers';
import { bytesOn } from './board';
import { type Needs, type PlacedJob } from './state';
import { decayedSeconds, monthStart } from './usage';

/* What planDispatch is told of the slots that are taken. */

export const isMovable = ({ state }: Pick<PlacedRecord, 'state'>): boolean =>
  state === 'preparing' || state === 'running';
export const isLeaving = ({
  cancelRequested,
  pauseRequested,
  preemptRequested,
}: Pick<PlacedRecord, 'cancelRequested' | 'pauseRequested' | 'preemptRequested'>): boolean =>
  cancelRequested || pauseRequested || preemptRequested;

/** A job that says nothing itself takes the memory that its estimate predicts. */
export const needsOf = ({
  placement,
  estimatedBytes,
}: Pick<PlacedRecord, 'placement' | 'estimatedBytes'>): Needs => ({
  ...placement,
  memoryBytes: placement.memoryBytes ?? estimatedBytes,
});

/**
 * The slots that jobs hold or are bound for. That of a party is left when all of its jobs leave, and can be asked for when all can move;
 * it ranks as the one of them that has most to lose.
 */
export function placedSlots(placed: readonly PlacedRecord[], parties: readonly PartyRecord[]): PlacedJob[] {
  const memoryOf = new Map(parties.map(({ id, memoryBytes }) => [id, memoryBytes]));
  return bySlot(placed).map((jobs) => {
    const [job] = jobs;
    const { id, teamId, workerId, assignedTo, attemptStartedAt, party } = job;
    const needs = needsOf(job);
    return {
      id,
      teamId,
      workerId: workerId ?? assignedTo ?? '',
      priority: Math.max(...jobs.map(({ priority }) => priority)),
      rank: Math.min(...jobs.map(({ rankAt }) => Date.parse(rankAt))),
      since: attemptStartedAt === null ? null : Date.parse(attemptStartedAt),
      leaving: jobs.every(isLeaving),
      movable: jobs.every(isMovable),
      ...needs,
      memoryBytes: party === null ? needs.memoryBytes : (memoryOf.get(party) ?? null),
    };
  });
}

/** What of a worker is left by all jobs that are placed there but one: slots, and bytes of memory. */
export async function leftOn(
  { jobs, parties }: Pick<Repositories, 'jobs' | 'parties'>,
  worker: WorkerRecord,
  besides: Pick<JobRecord, 'id'>,
): Promise<{ slots: number; bytes: number }> {
  const placed = (await jobs.placed()).filter(({ id }) => id !== besides.id);
  const there = placedSlots(placed, await parties.list()).filter(({ workerId }) => workerId === worker.id);
  return {
    slots: worker.slots - there.length,
    bytes: there.reduce((bytes, slot) => bytes - bytesOn(worker, slot), worker.memoryBytes),
  };
}

/** Device seconds that attempts have used but are not charged with yet, by team: decayed, and of this month. */
export function slotUse(
  placed: readonly PlacedRecord[],
  parties: readonly PartyRecord[],
  now: string,
): { running: Map<string, number>; sinceMonth: Map<string, number> } {
  const clocks = new Map(parties.map((party) => [party.id, runOn(party, now).clock]));
  const running = new Map<string, number>();
  const sinceMonth = new Map<string, number>();
  const nowMs = Date.parse(now);
  for (const { teamId, attemptStartedAt, party } of placed) {
    if (attemptStartedAt === null) continue;
    const since = Date.parse(attemptStartedAt);
    const seconds = Math.max(0, nowMs - since) / 1000;
    // Of a party's slot each member has its part.
    const part = seconds === 0 ? 0 : (clocks.get(party ?? '') ?? seconds) / seconds;
    const inMonth = Math.max(0, nowMs - Math.max(since, Date.parse(monthStart(now)))) / 1000;
    running.set(teamId, (running.get(teamId) ?? 0) + part * decayedSeconds(since, nowMs));
    sinceMonth.set(teamId, (sinceMonth.get(teamId) ?? 0) + part * inMonth);
  }
  return { running, sinceMonth };
}
