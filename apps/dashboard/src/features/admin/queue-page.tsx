import { Alert, Button, Stack, Text } from '@mantine/core';
import { type Job, type QueuedJob, type QueueInspection, type RetriedJobs } from '@lowrank/contracts';
import { useInfiniteQuery, useMutation, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { DataTable } from '../../components/data-table';
import { Facts } from '../../components/facts';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, LoadingState, QueryState } from '../../components/states';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { formatBytes, formatCount, formatDuration } from '../../lib/format';
import { notify, notifyError } from '../../lib/notify';
import { apiPages, apiQuery, invalidate, type Page } from '../../lib/query';
import { useMay } from '../../lib/session';

const path = '/api/v1/platform/queue';

/** What waits and why, what is on its way to workers, and failed jobs of one's own team to try again. */
export function QueuePage() {
  const queue = useQuery({ ...apiQuery<QueueInspection>(path, { limit: 1 }), refetchInterval: 3000 });
  return (
    <>
      <PageHeader title="Queue" description="Of all teams. What a job is about is its team's business." />
      <Stack gap="md">
        <Section title="On the way to workers">
          <QueryState query={queue} loading={<LoadingState rows={3} />}>
            {(seen) => <OnTheWay {...seen} />}
          </QueryState>
        </Section>
        <Waiting />
        <Failed />
      </Stack>
    </>
  );
}

function OnTheWay({ outbox, wakeUps }: QueueInspection) {
  return (
    <Stack gap="md">
      <Facts
        rows={[
          { name: 'The dispatcher has yet to carry', value: formatCount(outbox.entries) },
          {
            name: 'The oldest of it waits for',
            value: outbox.entries === 0 ? '–' : formatDuration(outbox.lagSeconds),
          },
        ]}
      />
      {wakeUps === null ? (
        <Alert color="red" title="The queue does not answer" role="status">
          Jobs wait in Postgres and go on when it does. Look at the services.
        </Alert>
      ) : wakeUps.length === 0 ? (
        <EmptyState icon="server" title="No workers" />
      ) : (
        <DataTable
          label="Queues of workers"
          rows={wakeUps}
          rowKey={({ workerId }) => workerId}
          columns={[
            { key: 'host', header: 'Worker', cell: ({ hostname }) => hostname },
            { key: 'waiting', header: 'Not yet taken', align: 'right', cell: ({ waiting }) => waiting },
            { key: 'active', header: 'Running', align: 'right', cell: ({ active }) => active },
            { key: 'drain', header: 'Drain', cell: ({ drain }) => drain ?? '–', from: 'sm' },
          ]}
        />
      )}
    </Stack>
  );
}

function Waiting() {
  const waiting = useInfiniteQuery({
    ...apiPages<QueuedJob>(path, { limit: 50 }),
    refetchInterval: 5000,
  });
  const rows = waiting.data?.pages.flatMap(({ data }) => data) ?? [];
  return (
    <Section title="Waiting for a slot">
      <QueryState query={waiting}>
        {() =>
          rows.length === 0 ? (
            <EmptyState icon="clock" title="Nothing waits" />
          ) : (
            <DataTable
              label="Waiting jobs"
              rows={rows}
              rowKey={({ id }) => id}
              more={{
                hasMore: waiting.hasNextPage,
                isLoading: waiting.isFetchingNextPage,
                load: () => void waiting.fetchNextPage(),
              }}
              columns={[
                { key: 'id', header: 'Job', cell: ({ id }) => <code title={id}>{id.slice(0, 12)}…</code> },
                { key: 'team', header: 'Team', cell: ({ team }) => team.name },
                { key: 'since', header: 'Since', cell: ({ queuedAt }) => <Ago time={queuedAt} /> },
                {
                  key: 'why',
                  header: 'Why',
                  width: 180,
                  cell: ({ waitingFor, assignedTo, notBefore }) =>
                    waitingFor ??
                    (assignedTo !== null ? (
                      'a worker is about to take it'
                    ) : notBefore !== null && Date.parse(notBefore) > Date.now() ? (
                      <>
                        starts <Ago time={notBefore} />
                      </>
                    ) : (
                      'others come first'
                    )),
                },
                {
                  key: 'priority',
                  header: 'Priority',
                  align: 'right',
                  cell: ({ priority }) => priority,
                  from: 'md',
                },
                {
                  key: 'asks',
                  header: 'Asks for',
                  from: 'md',
                  cell: ({ placement, estimatedBytes }) =>
                    [
                      placement.deviceClasses?.join(' or '),
                      estimatedBytes === null ? null : formatBytes(placement.memoryBytes ?? estimatedBytes),
                    ]
                      .filter((part) => part)
                      .join(', ') || 'any',
                },
              ]}
            />
          )
        }
      </QueryState>
    </Section>
  );
}

function Failed() {
  const may = useMay();
  const failed = useQuery(apiQuery<Page<Job>>('/api/v1/jobs', { state: 'failed', limit: 100 }));
  const retry = useMutation({
    mutationFn: (jobs: string[]) => api.post<RetriedJobs>('/api/v1/jobs/retry', { jobs }),
    onSuccess: ({ retried, refused }) => {
      const left = refused.length === 0 ? '' : ` ${refused.length} could not be: ${refused[0]?.message}`;
      notify(`${retried.length} queued again.${left}`);
      return invalidate('/api/v1/jobs', path);
    },
    onError: notifyError,
  });
  const rows = failed.data?.data ?? [];
  return (
    <Section
      title="Failed jobs of your team"
      aside={
        may('jobs.control') &&
        rows.length > 0 && (
          <Button
            size="xs"
            variant="default"
            loading={retry.isPending}
            onClick={() => retry.mutate(rows.map(({ id }) => id))}
          >
            Retry all {rows.length}
          </Button>
        )
      }
    >
      <QueryState query={failed}>
        {({ data }) =>
          data.length === 0 ? (
            <EmptyState icon="check" title="None has failed" />
          ) : (
            <DataTable
              label="Failed jobs"
              rows={data}
              rowKey={({ id }) => id}
              columns={[
                {
                  key: 'adapter',
                  header: 'Adapter',
                  cell: ({ id, adapter }) => (
                    <Link to="/jobs/$id" params={{ id }} className="row-link">
                      {adapter}
                    </Link>
                  ),
                },
                {
                  key: 'error',
                  header: 'Why',
                  cell: ({ error }) => (
                    <>
                      <code>{error?.code}</code>
                      <Text size="xs" c="dimmed" lineClamp={2}>
                        {error?.message}
                      </Text>
                    </>
                  ),
                },
                {
                  key: 'at',
                  header: 'When',
                  cell: ({ finishedAt }) => finishedAt && <Ago time={finishedAt} />,
                  from: 'sm',
                },
                ...(may('jobs.control')
                  ? [
                      {
                        key: 'retry',
                        header: 'Retry',
                        cell: ({ id, adapter }: Job) => (
                          <Button
                            size="xs"
                            variant="default"
                            aria-label={`Retry ${adapter}`}
                            onClick={() => retry.mutate([id])}
                          >
                            Retry
                          </Button>
                        ),
                      },
                    ]
                  : []),
              ]}
            />
          )
        }
      </QueryState>
    </Section>
  );
}
