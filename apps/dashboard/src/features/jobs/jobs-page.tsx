import { Checkbox, Group, TextInput } from '@mantine/core';
import { type Job, type JobState, jobStates } from '@lowrank/contracts';
import { useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useState } from 'react';
import { Choice } from '../../components/choice';
import { DataTable } from '../../components/data-table';
import { Icon } from '../../components/icon';
import { LinkButton } from '../../components/links';
import { JobStateBadge } from '../../components/job-state';
import { PageHeader } from '../../components/page-header';
import { EmptyState, QueryState } from '../../components/states';
import { Ago } from '../../components/time';
import { formatDuration, formatPercent } from '../../lib/format';
import { apiPages } from '../../lib/query';

const route = getRouteApi('/shell/jobs');

/** All jobs, newest first; some of them can be compared. */
export function JobsPage() {
  const { state, adapter } = route.useSearch();
  const navigate = route.useNavigate();
  const [chosen, setChosen] = useState<string[]>([]);
  const jobs = useInfiniteQuery({
    ...apiPages<Job>('/api/v1/jobs', { state, adapter }),
    refetchInterval: 10_000,
  });
  const filter = (search: { state?: JobState; adapter?: string }) =>
    void navigate({ search: (now) => ({ ...now, ...search }), replace: true });
  return (
    <>
      <PageHeader
        title="Jobs"
        actions={
          <>
            {chosen.length > 1 && (
              <LinkButton to="/compare" search={{ jobs: chosen }} size="xs" variant="default">
                Compare {chosen.length}
              </LinkButton>
            )}
            <LinkButton to="/jobs/new" size="xs" leftSection={<Icon name="plus" size={16} />}>
              New job
            </LinkButton>
          </>
        }
      />
      <Group mb="sm" align="flex-end">
        <Choice
          label="State"
          none="any"
          data={jobStates}
          value={state}
          onChange={(value) => filter({ state: value })}
          w={140}
        />
        <TextInput
          label="Adapter"
          placeholder="whole name"
          defaultValue={adapter ?? ''}
          onBlur={({ currentTarget }) => filter({ adapter: currentTarget.value.trim() || undefined })}
          onKeyDown={({ key, currentTarget }) =>
            key === 'Enter' && filter({ adapter: currentTarget.value.trim() || undefined })
          }
          size="xs"
          w={180}
        />
      </Group>
      <QueryState query={jobs}>
        {({ pages }) => {
          const rows = pages.flatMap(({ data }) => data);
          if (rows.length === 0)
            return (
              <EmptyState
                title={state || adapter ? 'No job is like that' : 'No jobs yet'}
                action={
                  <LinkButton to="/jobs/new" size="xs">
                    Submit one
                  </LinkButton>
                }
              >
                A job trains an adapter on a base model with your data.
              </EmptyState>
            );
          return (
            <DataTable
              label="Jobs"
              rows={rows}
              rowKey={({ id }) => id}
              more={{
                hasMore: jobs.hasNextPage,
                isLoading: jobs.isFetchingNextPage,
                load: () => void jobs.fetchNextPage(),
              }}
              columns={[
                {
                  key: 'choose',
                  header: '',
                  cell: ({ id, adapter: name }) => (
                    <Checkbox
                      size="xs"
                      aria-label={`Compare ${name} …${id.slice(-6)}`}
                      checked={chosen.includes(id)}
                      onChange={() =>
                        setChosen(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id])
                      }
                    />
                  ),
                },
                {
                  key: 'adapter',
                  header: 'Adapter',
                  cell: ({ id, adapter: name, version }) => (
                    <Link to="/jobs/$id" params={{ id }} className="row-link">
                      {name}
                      {version !== null && ` v${version}`}
                    </Link>
                  ),
                },
                { key: 'state', header: 'State', cell: (job) => <JobStateBadge state={job.state} /> },
                {
                  key: 'progress',
                  header: 'Done',
                  align: 'right',
                  cell: ({ step, totalSteps }) =>
                    totalSteps === null ? '–' : formatPercent(step / totalSteps),
                },
                { key: 'work', header: 'Work', from: 'md', cell: ({ work }) => work.kind },
                { key: 'base', header: 'Base model', from: 'sm', cell: ({ baseModel }) => baseModel.name },
                { key: 'data', header: 'Dataset', from: 'md', cell: ({ dataset }) => dataset.filename },
                {
                  key: 'time',
                  header: 'On a device',
                  align: 'right',
                  from: 'md',
                  cell: ({ deviceSeconds }) => (deviceSeconds > 0 ? formatDuration(deviceSeconds) : '–'),
                },
                { key: 'created', header: 'Submitted', cell: ({ createdAt }) => <Ago time={createdAt} /> },
              ]}
            />
          );
        }}
      </QueryState>
    </>
  );
}
