import { before } from '../clock-and-ids';
import { tell } from '../jobs/with-job';
import { gigabytes, largestOf, mayRunOn } from '../preflight/workers';
import { type Ports } from '../ports';
import { type WaitingRecord } from '../ports/repositories';
import { type TeamShare } from '../ports/teams';
import { type WorkerRecord } from '../ports/workers';
import { needsOf } from './placed';
import { monthStart, usageDecaySeconds } from './usage';

/** Jobs of a team looked at in a round: where the first ones wait for their turn, the others do as well. */
const mostPerTeam = 50;

/**
 * Writes down, once each, why queued jobs would not start though every slot were free: no worker that may run them or has the memory, or a
 * team's device seconds used up. A reason that no longer holds is taken back. `unseenAfterMs`: workers not seen for so long are not
 * there. Resolves to how many reasons changed.
 */
export async function explainWaiting(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  unseenAfterMs: number,
): Promise<number> {
  const now = clock.now();
  const { waiting, workers, shares } = await unitOfWork.read(async ({ jobs, workers: there, teams }) => ({
    waiting: await jobs.waiting(now, mostPerTeam),
    workers: await there.seenSince(before(now, unseenAfterMs)),
    shares: await teams.shares({ now, monthStart: monthStart(now), decaySeconds: usageDecaySeconds }),
  }));
  const able = workers.filter(({ drain }) => drain === null);
  const shareOf = new Map(shares.map((share) => [share.id, share]));
  let changed = 0;
  for (const job of waiting) {
    const reason = waitsFor(job, able, shareOf.get(job.teamId));
    if (reason === job.waitingFor) continue;
    const written = await unitOfWork.run(async (repositories) => {
      const locked = await repositories.jobs.lock(job.id);
      if (locked?.state !== 'queued' || locked.epoch !== job.epoch) return false;
      await repositories.jobs.update(job.id, job.epoch, { waitingFor: reason });
      await tell(
        repositories,
        locked,
        now,
        reason === null ? 'It takes its turn again.' : `It waits: ${reason}`,
      );
      return true;
    });
    changed += Number(written);
  }
  return changed;
}

function waitsFor(job: WaitingRecord, workers: WorkerRecord[], share: TeamShare | undefined): string | null {
  const { deviceSecondsPerMonth: quota = null, monthSeconds = 0 } = share ?? {};
  if (quota !== null && monthSeconds >= quota)
    return `the team has used up the ${quota} device seconds that it may use in a month.`;
  if (workers.length === 0) return 'no worker is there that takes jobs.';
  const wanted = workers.filter((worker) => mayRunOn(worker, job.placement));
  if (wanted.length === 0)
    return `no worker of class ${job.placement.deviceClasses?.join(' or ')} is there that takes jobs.`;
  const { memoryBytes } = needsOf(job);
  const room = largestOf(wanted);
  if (memoryBytes === null || room === 0 || memoryBytes <= room) return null;
  return `it takes ${gigabytes(memoryBytes)} at its peak, and the largest worker that may run it has ${gigabytes(room)}.`;
}
