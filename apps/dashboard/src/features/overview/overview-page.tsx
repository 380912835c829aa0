import { type Job } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { DataTable } from '../../components/data-table';
import { JobStateBadge } from '../../components/job-state';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, QueryState } from '../../components/states';
import { Ago } from '../../components/time';
import { apiQuery, type Page } from '../../lib/query';

/** What is going on: the newest jobs. */
export function OverviewPage() {
  const jobs = useQuery({ ...apiQuery<Page<Job>>('/api/v1/jobs', { limit: 10 }), refetchInterval: 5_000 });
  return (
    <>
      <PageHeader title="Overview" />
      <Section title="Newest jobs">
        <QueryState query={jobs}>
          {({ data }) =>
            data.length === 0 ? (
              <EmptyState title="No jobs yet">
                A job trains an adapter on a base model with your data.
              </EmptyState>
            ) : (
              <DataTable
                label="Newest jobs"
                rows={data}
                rowKey={({ id }) => id}
                columns={[
                  { key: 'adapter', header: 'Adapter', cell: ({ adapter }) => adapter },
                  { key: 'state', header: 'State', cell: ({ state }) => <JobStateBadge state={state} /> },
                  { key: 'base', header: 'Base model', cell: ({ baseModel }) => baseModel.name, from: 'sm' },
                  { key: 'created', header: 'Submitted', cell: ({ createdAt }) => <Ago time={createdAt} /> },
                ]}
              />
            )
          }
        </QueryState>
      </Section>
    </>
  );
}
