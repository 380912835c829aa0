import { Alert, Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { type TeamOverview } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Icon } from '../../components/icon';
import { LinkButton } from '../../components/links';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, ErrorState, LoadingState } from '../../components/states';
import { apiQuery } from '../../lib/query';
import { useMay } from '../../lib/session';
import { useEventStream } from '../../lib/use-event-stream';
import { Counts } from './counts';
import { Failures } from './failures';
import { Queue } from './queue';
import { Running } from './running';
import { TeamsUse, Use } from './use';
import { Workers } from './workers';

/** How the team's work stands, as it changes. */
export function OverviewPage() {
  const may = useMay();
  const [told, setTold] = useState<TeamOverview | null>(null);
  const first = useQuery({ ...apiQuery<TeamOverview>('/api/v1/overview'), staleTime: 0 });
  const stream = useEventStream('/api/v1/overview/stream', (events) => {
    const last = events.findLast(({ event }) => event === 'overview');
    if (last !== undefined) setTold(JSON.parse(last.data) as TeamOverview);
    return false;
  });
  const overview = told ?? first.data;
  const header = (
    <PageHeader
      title="Overview"
      actions={
        may('jobs.submit') && (
          <LinkButton to="/jobs/new" size="xs" leftSection={<Icon name="plus" size={16} />}>
            New job
          </LinkButton>
        )
      }
    />
  );
  if (overview === undefined)
    return (
      <>
        {header}
        {first.error === null ? <LoadingState rows={5} height={110} /> : <ErrorState error={first.error} />}
      </>
    );
  const isNew = overview.jobs.every(({ count }) => count === 0);
  return (
    <>
      {header}
      <Stack>
        {stream.state === 'waiting' && (
          <Alert color="yellow" icon={<Icon name="alert" />} role="status">
            The connection is interrupted; what is shown may be out of date. It comes back by itself.
          </Alert>
        )}
        {isNew && (
          <EmptyState
            icon="play"
            title="No jobs yet"
            action={
              may('jobs.submit') && (
                <LinkButton to="/jobs/new" size="xs">
                  Submit the first
                </LinkButton>
              )
            }
          >
            A job trains an adapter on a base model with your data. Its curves, logs and result are shown here
            as they come.
          </EmptyState>
        )}
        <Counts jobs={overview.jobs} />
        <Section title={overview.running.length > 0 ? `Running, ${overview.running.length}` : 'Running'}>
          {overview.running.length === 0 ? (
            <Text size="sm" c="dimmed">
              Nothing runs.
            </Text>
          ) : (
            <Running jobs={overview.running} />
          )}
        </Section>
        {overview.failed.length > 0 && <Failures jobs={overview.failed} />}
        <SimpleGrid cols={{ base: 1, md: 2 }}>
          <Queue queued={overview.queued} />
          <Section title="Your team this month">
            <Use use={overview.use} />
          </Section>
        </SimpleGrid>
        {may('workers.read') && <Workers />}
        {may('platform.read') && <TeamsUse />}
        <Group justify="flex-end">
          <Text size="xs" c="dimmed">
            {stream.state === 'live' ? 'Live' : 'Connecting …'}
          </Text>
        </Group>
      </Stack>
    </>
  );
}
