import { type Quotas } from '@lowrank/contracts';
import { type TeamRecord, type TeamRepository, type TeamShare } from '@lowrank/domain';
import { type TeamModel } from '../generated/models';
import { Prisma } from '../generated/client';
import { numberOrNull, type Tx } from '../values';

const toTeam = ({
  id,
  name,
  weight,
  maxRunning,
  maxQueued,
  deviceSecondsPerMonth,
  tokensPerMonth,
}: Omit<TeamModel, 'createdAt' | 'isOperator'>): TeamRecord => ({
  id,
  name,
  weight,
  maxRunning,
  maxQueued,
  deviceSecondsPerMonth: numberOrNull(deviceSecondsPerMonth),
  tokensPerMonth: numberOrNull(tokensPerMonth),
});
const bigOrNull = (count: number | null): bigint | null => (count === null ? null : BigInt(count));

const dayMs = 86_400_000;

export const teamRepository = (db: Tx): TeamRepository => ({
  async find(id) {
    const row = await db.team.findUnique({ where: { id } });
    return row && toTeam(row);
  },

  async lock(id) {
    // Not against the rows that refer to the team: whoever adds one does not wait.
    await db.$queryRaw`SELECT 1 FROM teams WHERE id = ${id} FOR NO KEY UPDATE`;
    return this.find(id);
  },

  async findByName(name) {
    const row = await db.team.findUnique({ where: { name } });
    return row && toTeam(row);
  },

  async insert(team) {
    await db.team.create({ data: team });
  },

  async change(
    id,
    { deviceSecondsPerMonth: seconds, tokensPerMonth: tokens, ...quotas }: Partial<Quotas & { name: string }>,
  ) {
    await db.team.updateMany({
      where: { id },
      data: {
        ...quotas,
        ...(seconds === undefined ? {} : { deviceSecondsPerMonth: bigOrNull(seconds) }),
        ...(tokens === undefined ? {} : { tokensPerMonth: bigOrNull(tokens) }),
      },
    });
  },

  async charge(id, hours) {
    for (const { hour, seconds } of hours)
      await db.$executeRaw`
        INSERT INTO team_usage (team_id, hour, seconds) VALUES (${id}, ${new Date(hour)}, ${seconds})
        ON CONFLICT (team_id, hour) DO UPDATE SET seconds = team_usage.seconds + excluded.seconds`;
  },

  async shares({ now, monthStart, decaySeconds, id }) {
    const dayStart = new Date(Date.parse(now) - dayMs);
    const month = new Date(monthStart);
    const since = month < dayStart ? month : dayStart;
    const one = id === undefined ? Prisma.empty : Prisma.sql`WHERE teams.id = ${id}`;
    // An hour's seconds are as old as its middle.
    const rows = await db.$queryRaw<
      (Omit<TeamModel, 'createdAt' | 'isOperator'> & Pick<TeamShare, 'monthSeconds' | 'recentSeconds'>)[]
    >`
      SELECT teams.id, name, weight, max_running AS "maxRunning", max_queued AS "maxQueued",
        device_seconds_per_month AS "deviceSecondsPerMonth", tokens_per_month AS "tokensPerMonth",
        coalesce(sum(seconds) FILTER (WHERE hour >= ${month}), 0) AS "monthSeconds",
        coalesce(sum(seconds * exp(-greatest(0, extract(epoch FROM ${new Date(now)} - hour) - 1800)::float8 / ${decaySeconds}))
          FILTER (WHERE hour >= ${dayStart}), 0) AS "recentSeconds"
      FROM teams LEFT JOIN team_usage ON team_id = teams.id AND hour >= ${since}
      ${one} GROUP BY teams.id ORDER BY teams.id`;
    return rows.map(({ monthSeconds, recentSeconds, ...team }) => ({
      ...toTeam(team),
      monthSeconds,
      recentSeconds,
    }));
  },
});
