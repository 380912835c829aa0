import { LowrankError, type Quotas, type Team, type Tokens } from '@lowrank/contracts';
import { monthStart, usageDecaySeconds } from '../dispatch/usage';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';
import { type TeamShare } from '../ports/teams';

/** A team as of a time. Error: not_found. */
export async function teamOf({ teams, usage }: Repositories, id: string, now: string): Promise<Team> {
  const options = { now, monthStart: monthStart(now), decaySeconds: usageDecaySeconds, id };
  const share = found((await teams.shares(options))[0] ?? null, 'team', id);
  return withUse(share, await tokensOfMonth(usage, id, now));
}

/** All teams as of a time. */
export async function teamsOf({ teams, usage }: Repositories, now: string): Promise<Team[]> {
  const options = { now, monthStart: monthStart(now), decaySeconds: usageDecaySeconds };
  const used = new Map(
    (await usage.sum(null, monthOf(now), [])).map((row) => [row.team?.id, countOf(row.tokens)]),
  );
  return (await teams.shares(options)).map((share) => withUse(share, used.get(share.id) ?? 0));
}

const withUse = ({ monthSeconds, recentSeconds: _recent, ...team }: TeamShare, tokensUsed: number): Team => ({
  ...team,
  deviceSecondsUsed: monthSeconds,
  tokensUsed,
});

const monthOf = (now: string) => ({ since: monthStart(now).slice(0, 10), until: now.slice(0, 10) });
const countOf = ({ prompt, completion }: Tokens): number => prompt + completion;

async function tokensOfMonth(usage: Repositories['usage'], teamId: string, now: string): Promise<number> {
  const rows = await usage.sum(teamId, monthOf(now), ['day']);
  return rows.reduce((sum, { tokens }) => sum + countOf(tokens), 0);
}

/**
 * Throws LowrankError quota_exceeded when the team's completions have taken the tokens of the month. `unwritten`: what was counted and is not in
 * the store yet. Answers that have begun are not counted, so that a team may go beyond by these.
 */
export async function checkTokenQuota(
  { teams, usage }: Pick<Repositories, 'teams' | 'usage'>,
  teamId: string,
  now: string,
  unwritten: number,
): Promise<void> {
  const { tokensPerMonth } = found(await teams.find(teamId), 'team', teamId);
  if (tokensPerMonth === null) return;
  const used = unwritten + (await tokensOfMonth(usage, teamId, now));
  if (used < tokensPerMonth) return;
  throw new LowrankError(
    'quota_exceeded',
    `The team has used ${used} of its ${tokensPerMonth} tokens of this month.`,
    undefined,
    { help: "Wait for the next month, or ask the operator to raise the team's quota of tokens." },
  );
}

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
