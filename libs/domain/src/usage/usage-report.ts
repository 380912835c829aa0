import { type UsageQuery, type UsageReport } from '@lowrank/contracts';
import { type Ports } from '../ports';

/** What completions have taken of a team; null: of all teams. */
export async function reportUsage(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string | null,
  { since: asked, until: last, by }: UsageQuery,
): Promise<UsageReport> {
  const today = clock.now().slice(0, 10);
  const until = last ?? (asked !== undefined && asked > today ? asked : today);
  const since = asked ?? `${until.slice(0, 7)}-01`;
  const on = teamId === null ? unitOfWork.acrossTeams : unitOfWork;
  const data = await on.look(({ usage }) => usage.sum(teamId, { since, until }, by));
  const total = { requests: 0, tokens: { prompt: 0, cached: 0, completion: 0 } };
  for (const { requests, tokens } of data) {
    total.requests += requests;
    total.tokens.prompt += tokens.prompt;
    total.tokens.cached += tokens.cached;
    total.tokens.completion += tokens.completion;
  }
  return { since, until, data, total };
}
