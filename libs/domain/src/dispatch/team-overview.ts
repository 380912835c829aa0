import { lossTailLength, type PlatformOverview, type TeamOverview, type TeamUse } from '@lowrank/contracts';
import { before } from '../clock-and-ids';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';
import { type TeamShare } from '../ports/teams';
import { heldStates } from '../state-machine';
import { everyState, overviewOf } from './overview';
import { monthStart, usageDecaySeconds } from './usage';

/** Jobs that an overview tells one by one; there are lists for all of them. */
const most = { running: 20, failed: 10 };
/** A failure that nobody has looked at for so long is no news. */
const failedWithinMs = 7 * 86_400_000;

/** What teams have used and may use, in order of their ids; of one, or of all. */
async function teamUses(
  { teams, statistics }: Pick<Repositories, 'teams' | 'statistics'>,
  now: string,
  teamId?: string,
): Promise<TeamUse[]> {
  const month = { now, monthStart: monthStart(now), decaySeconds: usageDecaySeconds };
  const shares = await teams.shares({ ...month, ...(teamId === undefined ? {} : { id: teamId }) });
  const uses = await statistics.jobsUse({
    monthStart: month.monthStart,
    ...(teamId === undefined ? {} : { teamId }),
  });
  return shares.map((share: TeamShare) => {
    const { id, name, monthSeconds, deviceSecondsPerMonth, maxRunning, maxQueued } = share;
    const use = uses.find((one) => one.teamId === id);
    return {
      team: { id, name },
      deviceSeconds: monthSeconds,
      trainedTokens: use?.trainedTokens ?? 0,
      running: use?.running ?? 0,
      queued: use?.queued ?? 0,
      ...{ deviceSecondsPerMonth, maxRunning, maxQueued },
    };
  });
}

/** How a team's work stands: its queue, what it trains with the last losses, what has failed, what it has used. */
export function teamOverview(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
): Promise<TeamOverview> {
  const now = clock.now();
  return unitOfWork.read(async (repositories) => {
    const { jobs, statistics } = repositories;
    const running = [];
    for (const state of heldStates)
      running.push(...(await jobs.list(teamId, { state, limit: most.running })).data);
    running.sort((a, b) => (b.startedAt ?? b.createdAt).localeCompare(a.startedAt ?? a.createdAt));
    const shown = running.slice(0, most.running);
    const tails = await jobs.lossTails(
      shown.map(({ id }) => id),
      lossTailLength,
    );
    const failed = (await jobs.list(teamId, { state: 'failed', limit: most.failed })).data;
    const recent = before(now, failedWithinMs);
    const [use] = await teamUses(repositories, now, teamId);
    if (use === undefined) throw new Error(`There is no team ${teamId}.`);
    return {
      at: now,
      jobs: everyState(await statistics.jobsByState(teamId)),
      queued: (await statistics.queuedByDeviceClass({ teamId })).map(({ deviceClass, count }) => ({
        deviceClass: deviceClass ?? 'any',
        count,
      })),
      running: shown.map((job) => ({
        ...job,
        losses: tails.find(({ jobId }) => jobId === job.id)?.losses ?? [],
      })),
      failed: failed.filter(({ finishedAt }) => finishedAt !== null && finishedAt >= recent),
      use,
    };
  });
}

/** How the whole installation stands, with what each team uses. */
export async function platformOverview(
  ports: Pick<Ports, 'unitOfWork' | 'clock'>,
): Promise<PlatformOverview> {
  const at = ports.clock.now();
  const seen = await overviewOf(ports);
  const teams = await ports.unitOfWork.acrossTeams.read((repositories) => teamUses(repositories, at));
  return { at, ...seen, teams };
}
