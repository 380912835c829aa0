import { wakeUpVersion } from '@lowrank/contracts';
import { notAssigned } from '../attempts/attempt';
import { before } from '../clock-and-ids';
import { tell } from '../jobs/with-job';
import { bySlot } from '../parties/party';
import { type Ports } from '../ports';
import { type AddressedWakeUp } from '../ports/job-queue';
import { type OutboxEntry } from '../ports/outbox';
import { type PartyRecord } from '../ports/parties';
import {
  type JobRecord,
  type PlacedRecord,
  type Repositories,
  type WaitingRecord,
} from '../ports/repositories';
import { type TeamShare } from '../ports/teams';
import { type WorkerRecord } from '../ports/workers';
import { defaultPolicy, type DispatchPolicy, planDispatch } from './plan';
import { offersOf } from './offers';
import { isLeaving, isMovable, needsOf, placedSlots, slotUse } from './placed';
import { type DispatchState, type WaitingJob } from './state';
import { monthStart, usageDecaySeconds } from './usage';

export interface ScheduleOptions {
  /** A worker that has not been seen for this long gets nothing, and what it was to get goes to others. */
  unseenAfterMs: number;
  /** So does a job that a worker has not taken for this long, though it had a free slot for it. */
  untakenAfterMs: number;
  policy?: DispatchPolicy;
}

export interface Scheduled {
  assigned: number;
  preempted: number;
  /** Jobs whose worker went away, or did not take them. */
  withdrawn: number;
  /** Rows of the outbox that carry the decisions: for carryWakeUps. */
  wakeUps: OutboxEntry<AddressedWakeUp>[];
}

/**
 * One round of the dispatcher: reads what there is, decides by planDispatch, and writes the decisions and the wake-ups that carry them,
 * all in one transaction. What it reads may change meanwhile: each decision is written only if its job is still as it was.
 */
export async function scheduleJobs(
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  { unseenAfterMs, untakenAfterMs, policy = defaultPolicy }: ScheduleOptions,
): Promise<Scheduled> {
  const now = clock.now();
  // A decision that a crash takes back was of no effect: no worker can have claimed the job, as claims are on disk, and with them all before.
  return unitOfWork.runLightly(async (repositories) => {
    const { jobs, outbox, teams, workers, parties } = repositories;
    // Whatever they told of is committed, so this round sees it.
    await outbox.removeNews();
    const seen = await workers.seenSince(before(now, unseenAfterMs));
    const able = seen.filter(
      ({ drain, wakeUpVersion: version }) => drain === null && version >= wakeUpVersion,
    );
    const { kept, withdrawn } = await withdrawLost(repositories, able, now, before(now, untakenAfterMs));
    const together = kept.some(({ party }) => party !== null) ? await parties.list() : [];
    const waiting = await jobs.suited(now, offersOf(able, placedSlots(kept, together)));
    if (waiting.length === 0) return { assigned: 0, preempted: 0, withdrawn, wakeUps: [] };
    const shares = await teams.shares({ now, monthStart: monthStart(now), decaySeconds: usageDecaySeconds });
    const state = stateOf(now, shares, able, { jobs: kept, parties: together }, waiting);
    const plan = planDispatch(state, policy);
    const epochs = new Map([...waiting, ...kept].map((job) => [job.id, job.epoch]));
    const assign = async (choices: { jobId: string; workerId: string }[]) => {
      const wakeUps = choices.map(({ jobId, workerId }) => ({
        jobId,
        epoch: epochs.get(jobId) ?? 0,
        workerId,
      }));
      const chosen = new Set(await jobs.assign(wakeUps, now));
      return outbox.add(...wakeUps.filter(({ jobId }) => chosen.has(jobId)));
    };

    const wakeUps = await assign(plan.assignments);
    const assigned = wakeUps.length;
    for (const { victimId, jobId, workerId } of plan.preemptions) {
      // A party gives its slot as a whole.
      const slot = bySlot(kept).find((members) => members.some(({ id }) => id === victimId)) ?? [];
      const victims: JobRecord[] = [];
      for (const { id, epoch } of slot) {
        const victim = await jobs.lock(id);
        if (victim?.workerId === workerId && victim.epoch === epoch) victims.push(victim);
      }
      if (!victims.every(isMovable) || victims.every(isLeaving)) continue;
      const bound = await assign([{ jobId, workerId }]);
      if (bound.length === 0) continue;
      wakeUps.push(...bound);
      for (const victim of victims) {
        await jobs.update(victim.id, victim.epoch, { preemptRequested: true });
        await tell(repositories, victim, now, `Asked for its slot by ${jobId}, which has a higher priority.`);
      }
    }
    return { assigned, preempted: wakeUps.length - assigned, withdrawn, wakeUps };
  });
}

/** Takes back jobs whose worker is gone, or leaves them lying in a free slot. Resolves to the jobs that do have a slot. */
async function withdrawLost(
  { jobs }: Repositories,
  workers: WorkerRecord[],
  now: string,
  deadline: string,
): Promise<{ kept: PlacedRecord[]; withdrawn: number }> {
  const slotsOf = new Map(workers.map(({ id, slots }) => [id, slots]));
  const placed = await jobs.placed();
  const held = new Map<string, number>();
  for (const [{ workerId }] of bySlot(placed))
    if (workerId !== null) held.set(workerId, (held.get(workerId) ?? 0) + 1);
  const kept: PlacedRecord[] = [];
  let withdrawn = 0;
  for (const record of placed) {
    const { id, epoch, state, assignedTo, assignedAt } = record;
    const slots = slotsOf.get(assignedTo ?? '');
    const isSettled = state !== 'queued' || assignedTo === null;
    if (isSettled || (slots !== undefined && (assignedAt ?? now) >= deadline)) {
      kept.push(record);
      continue;
    }
    const job = await jobs.lock(id);
    if (job?.state !== 'queued' || job.epoch !== epoch) continue;
    if (slots !== undefined && (held.get(assignedTo) ?? 0) >= slots) {
      // It waits for another to leave; its time begins when the slot is free.
      await jobs.update(id, epoch, { assignedAt: now });
      kept.push(record);
    } else {
      await jobs.update(id, epoch, notAssigned);
      withdrawn += 1;
    }
  }
  return { kept, withdrawn };
}

function stateOf(
  now: string,
  shares: TeamShare[],
  workers: WorkerRecord[],
  held: { jobs: PlacedRecord[]; parties: PartyRecord[] },
  waiting: WaitingRecord[],
): DispatchState {
  const nowMs = Date.parse(now);
  const { running, sinceMonth } = slotUse(held.jobs, held.parties, now);
  return {
    now: nowMs,
    teams: shares.map(
      ({ id, weight, maxRunning, deviceSecondsPerMonth: quota, monthSeconds, recentSeconds }) => ({
        id,
        weight,
        maxRunning,
        usage: recentSeconds + (running.get(id) ?? 0),
        exhausted: quota !== null && monthSeconds + (sinceMonth.get(id) ?? 0) >= quota,
      }),
    ),
    workers,
    placed: placedSlots(held.jobs, held.parties),
    waiting: waiting.map(toWaiting),
  };
}

const toWaiting = (job: WaitingRecord): WaitingJob => ({
  id: job.id,
  teamId: job.teamId,
  priority: job.priority,
  rank: Date.parse(job.rankAt),
  waitingSince: Date.parse(job.queuedAt),
  host: job.host,
  ...needsOf(job),
});
