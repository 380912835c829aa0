import { LowrankError } from '@lowrank/contracts';
import { monthStart, usageDecaySeconds } from '../dispatch/usage';
import { found } from '../not-found';
import { type Repositories } from '../ports/repositories';

/**
 * Throws LowrankError quota_exceeded when the team may not queue `more` jobs: too many wait already, or the month's device seconds
 * are used up. Counts under the team's lock, so that requests at the same time do not pass the limit together.
 */
export async function checkQueueQuota(
  { teams, jobs }: Pick<Repositories, 'teams' | 'jobs'>,
  teamId: string,
  at: string,
  more = 1,
): Promise<void> {
  const { maxQueued, deviceSecondsPerMonth } = found(await teams.find(teamId), 'team', teamId);
  if (maxQueued !== null) {
    await teams.lock(teamId);
    const queued = await jobs.countQueued(teamId);
    if (queued + more > maxQueued)
      throw new LowrankError(
        'quota_exceeded',
        `The team has ${queued} jobs waiting${more > 1 ? ` and wants ${more} more` : ''}; it may have ${maxQueued}.`,
      );
  }
  if (deviceSecondsPerMonth === null) return;
  const month = { now: at, monthStart: monthStart(at), decaySeconds: usageDecaySeconds };
  const used = (await teams.shares({ ...month, id: teamId }))[0]?.monthSeconds ?? 0;
  if (used >= deviceSecondsPerMonth)
    throw new LowrankError(
      'quota_exceeded',
      `The team has used ${Math.round(used)} of its ${deviceSecondsPerMonth} device seconds of this month.`,
    );
}
