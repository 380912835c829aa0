import { Group, Progress, Stack, Text } from '@mantine/core';
import { type PlatformOverview, type Team, type TeamUse } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { DataTable } from '../../components/data-table';
import { Section } from '../../components/section';
import { QueryState } from '../../components/states';
import { formatCompact, formatCount, formatDuration } from '../../lib/format';
import { apiQuery } from '../../lib/query';
import { useMay } from '../../lib/session';

const of = (used: string, most: string | null) => (most === null ? used : `${used} of ${most}`);
const seconds = (value: number) => (value === 0 ? '0 s' : formatDuration(value));

/** What a team has used, against what it may. */
export function Use({ use }: { use: TeamUse }) {
  const mayRead = useMay()('team.read');
  const team = useQuery({
    ...apiQuery<Team>('/api/v1/team'),
    enabled: mayRead,
    refetchInterval: 30_000,
  }).data;
  const rows: [string, string, number | null][] = [
    [
      'Device time',
      of(
        seconds(use.deviceSeconds),
        use.deviceSecondsPerMonth === null ? null : seconds(use.deviceSecondsPerMonth),
      ),
      use.deviceSecondsPerMonth === null ? null : use.deviceSeconds / Math.max(1, use.deviceSecondsPerMonth),
    ],
    [
      'Running',
      of(formatCount(use.running), use.maxRunning === null ? null : formatCount(use.maxRunning)),
      use.maxRunning === null ? null : use.running / Math.max(1, use.maxRunning),
    ],
    [
      'Waiting',
      of(formatCount(use.queued), use.maxQueued === null ? null : formatCount(use.maxQueued)),
      use.maxQueued === null ? null : use.queued / Math.max(1, use.maxQueued),
    ],
    ['Tokens trained on', formatCompact(use.trainedTokens), null],
    [
      'Tokens of completions',
      team === undefined
        ? '–'
        : of(
            formatCompact(team.tokensUsed),
            team.tokensPerMonth === null ? null : formatCompact(team.tokensPerMonth),
          ),
      team?.tokensPerMonth === undefined || team.tokensPerMonth === null
        ? null
        : team.tokensUsed / Math.max(1, team.tokensPerMonth),
    ],
  ];
  return (
    <Stack gap="xs">
      {rows.map(([name, value, share]) => (
        <div key={name}>
          <Group justify="space-between">
            <Text size="sm">{name}</Text>
            <Text size="sm" className="numbers">
              {value}
            </Text>
          </Group>
          {share !== null && (
            <Progress
              value={100 * share}
              color={share >= 0.9 ? 'red' : undefined}
              aria-label={`${name} used`}
            />
          )}
        </div>
      ))}
    </Stack>
  );
}

/** The same of every team, for who runs the installation. */
export function TeamsUse() {
  const platform = useQuery({
    ...apiQuery<PlatformOverview>('/api/v1/platform/overview'),
    refetchInterval: 15_000,
  });
  // Counted for the quotas, with which the list of teams brings them.
  const known = useQuery({ ...apiQuery<{ data: Team[] }>('/api/v1/teams'), refetchInterval: 30_000 });
  const answered = (id: string): string => {
    const team = known.data?.data.find((one) => one.id === id);
    if (team === undefined) return '–';
    const { tokensUsed, tokensPerMonth: most } = team;
    return of(formatCompact(tokensUsed), most === null ? null : formatCompact(most));
  };
  return (
    <Section title="Usage by team, this month">
      <QueryState query={platform}>
        {({ teams }) => (
          <DataTable
            label="Usage by team"
            rows={teams}
            rowKey={({ team }) => team.id}
            columns={[
              { key: 'team', header: 'Team', cell: ({ team }) => team.name },
              {
                key: 'time',
                header: 'Device time',
                align: 'right',
                cell: ({ deviceSeconds, deviceSecondsPerMonth: most }) =>
                  of(seconds(deviceSeconds), most === null ? null : seconds(most)),
              },
              {
                key: 'running',
                header: 'Running',
                align: 'right',
                cell: ({ running }) => formatCount(running),
              },
              { key: 'queued', header: 'Waiting', align: 'right', cell: ({ queued }) => formatCount(queued) },
              {
                key: 'tokens',
                header: 'Tokens trained on',
                align: 'right',
                cell: ({ trainedTokens }) => formatCompact(trainedTokens),
              },
              {
                key: 'answered',
                header: 'Tokens of completions',
                align: 'right',
                cell: ({ team }) => answered(team.id),
              },
            ]}
          />
        )}
      </QueryState>
    </Section>
  );
}
