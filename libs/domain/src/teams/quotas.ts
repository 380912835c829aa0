import { type Quotas, type Team } from '@lowrank/contracts';
import { monthStart, usageDecaySeconds } from '../dispatch/usage';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';
import { type TeamShare } from '../ports/teams';

/** A team as of a time. Error: not_found. */
export async function teamOf({ teams }: Repositories, id: string, now: string): Promise<Team> {
  const options = { now, monthStart: monthStart(now), decaySeconds: usageDecaySeconds, id };
  const share = found((await teams.shares(options))[0] ?? null, 'team', id);
  return withUse(share);
}

/** All teams as of a time. */
export async function teamsOf({ teams }: Repositories, now: string): Promise<Team[]> {
  const options = { now, monthStart: monthStart(now), decaySeconds: usageDecaySeconds };
  return (await teams.shares(options)).map(withUse);
}

const withUse = ({ monthSeconds, recentSeconds: _recent, ...team }: TeamShare): Team => ({
  ...team,
  deviceSecondsUsed: monthSeconds,
});

/** A team, what it may use, and what it has used. Error: not_found. */
export const getTeam = ({ unitOfWork, clock }: Omit<Ports, 'ids'>, id: string): Promise<Team> =>
  unitOfWork.run((repositories) => teamOf(repositories, id, clock.now()));

/** Changes weight and quotas; what is not given stays. Jobs that run or wait already are left alone. Error: not_found. */
export const changeQuotas = (
  { unitOfWork, clock }: Omit<Ports, 'ids'>,
  id: string,
  quotas: Partial<Quotas>,
): Promise<Team> =>
  unitOfWork.run(async (repositories) => {
    found(await repositories.teams.lock(id), 'team', id);
    await repositories.teams.change(id, quotas);
    await repositories.audit.add('change', { kind: 'team', id }, quotas);
    return teamOf(repositories, id, clock.now());
  });
