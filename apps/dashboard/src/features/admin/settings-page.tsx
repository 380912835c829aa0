import { useQuery } from '@tanstack/react-query';
import { DataTable } from '../../components/data-table';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { LoadingState, QueryState } from '../../components/states';
import { apiQuery } from '../../lib/query';

interface Settings {
  version: string;
  node: string;
  settings: { name: string; value: string | null }[];
}

/** What the API was started with, without secrets. It is changed by the environment of the processes. */
export function SettingsPage() {
  const settings = useQuery(apiQuery<Settings>('/api/v1/platform/settings'));
  return (
    <>
      <PageHeader
        title="Settings"
        description="What the API was started with. They are changed in its environment: .env.example lists the variables."
      />
      <QueryState query={settings} loading={<LoadingState rows={12} />}>
        {({ version, node, settings: rows }) => (
          <Section title={`Lowrank ${version} on Node ${node}`}>
            <DataTable
              label="Settings"
              rows={rows}
              rowKey={({ name }) => name}
              columns={[
                { key: 'name', header: 'Setting', cell: ({ name }) => <code>{name}</code> },
                {
                  key: 'value',
                  header: 'Value',
                  cell: ({ value }) => <span className="wrap-anywhere">{value ?? 'not set'}</span>,
                },
              ]}
            />
          </Section>
        )}
      </QueryState>
    </>
  );
}
