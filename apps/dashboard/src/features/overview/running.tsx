import { Group, Progress, Text } from '@mantine/core';
import { type TeamOverview } from '@lowrank/contracts';
import { Link } from '@tanstack/react-router';
import { DataTable } from '../../components/data-table';
import { JobStateBadge } from '../../components/job-state';
import { Sparkline } from '../../components/sparkline';
import { Ago } from '../../components/time';
import { formatNumber, formatPercent } from '../../lib/format';

/** Jobs that hold a slot, with the losses of their last steps. */
export function Running({ jobs }: { jobs: TeamOverview['running'] }) {
  return (
    <DataTable
      label="Running jobs"
      rows={jobs}
      rowKey={({ id }) => id}
      columns={[
        {
          key: 'adapter',
          header: 'Adapter',
          cell: ({ id, adapter, sweep }) => (
            <Link to="/jobs/$id" params={{ id }} className="row-link">
              {adapter}
              {sweep !== null && `, trial ${sweep.trial}`}
            </Link>
          ),
        },
        { key: 'state', header: 'State', cell: ({ state }) => <JobStateBadge state={state} /> },
        {
          key: 'loss',
          header: 'Loss',
          width: 190,
          cell: ({ losses }) => (
            <Group gap="xs" wrap="nowrap">
              <Sparkline label="Loss of the last steps" y={losses.map(({ loss }) => loss)} />
              <Text size="sm" className="numbers">
                {formatNumber(losses.at(-1)?.loss, 3)}
              </Text>
            </Group>
          ),
        },
        {
          key: 'done',
          header: 'Done',
          width: 130,
          cell: ({ id, step, totalSteps }) => {
            const share = totalSteps === null ? 0 : step / totalSteps;
            return (
              <Group gap="xs" wrap="nowrap">
                <Progress value={100 * share} w={70} aria-label={`Steps done of …${id.slice(-6)}`} />
                <Text size="sm" className="numbers">
                  {formatPercent(share)}
                </Text>
              </Group>
            );
          },
        },
        { key: 'base', header: 'Base model', from: 'sm', cell: ({ baseModel }) => baseModel.name },
        {
          key: 'started',
          header: 'Started',
          from: 'sm',
          cell: ({ startedAt }) => (startedAt === null ? '–' : <Ago time={startedAt} />),
        },
      ]}
    />
  );
}
