import { Button, Group, NativeSelect, Stack, Text, TextInput } from '@mantine/core';
import { actions, type AuditEntry } from '@lowrank/contracts';
import { useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { type FormEvent } from 'react';
import { LinkButton } from '../../components/links';
import { DataTable } from '../../components/data-table';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, LoadingState, QueryState } from '../../components/states';
import { Ago } from '../../components/time';
import { apiPages } from '../../lib/query';
import { defined } from '../../lib/search';
import { type AuditSearch } from './routes';
import { fieldOf } from '../../lib/use-form-action';

const route = getRouteApi('/shell/admin/audit');

const changes = Object.keys(actions)
  .filter((action) => !/^session\.|\.(read|estimate|generate)$/.test(action))
  .sort();

/** A time as a field of the reader's own clock has it, and back. */
const toField = (time: string | undefined): string => {
  if (time === undefined) return '';
  const at = new Date(time);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};
const fromField = (text: string): string | undefined =>
  text === '' ? undefined : new Date(text).toISOString();

/** What has been changed in the team, by whom and how; filters are in the address. */
export function AuditPage() {
  const search = route.useSearch();
  const entries = useInfiniteQuery(apiPages<AuditEntry>('/api/v1/audit', { ...search, limit: 50 }));
  const rows = entries.data?.pages.flatMap(({ data }) => data) ?? [];
  const isFiltered = Object.keys(search).length > 0;
  return (
    <>
      <PageHeader
        title="Audit log"
        description="Every change that somebody or a key has made in your team, newest first."
      />
      <Stack gap="md">
        <Filters key={JSON.stringify(search)} search={search} isFiltered={isFiltered} />
        <Section title="Changes">
          <QueryState query={entries} loading={<LoadingState rows={8} />}>
            {() =>
              rows.length === 0 ? (
                <EmptyState icon="list" title={isFiltered ? 'Nothing fits' : 'Nothing was changed yet'}>
                  {isFiltered && 'Leave out a filter.'}
                </EmptyState>
              ) : (
                <DataTable
                  label="Changes"
                  rows={rows}
                  rowKey={({ id }) => id}
                  more={{
                    hasMore: entries.hasNextPage,
                    isLoading: entries.isFetchingNextPage,
                    load: () => void entries.fetchNextPage(),
                  }}
                  columns={[
                    { key: 'at', header: 'When', cell: ({ at }) => <Ago time={at} /> },
                    {
                      key: 'actor',
                      header: 'Who',
                      cell: ({ actor }) => (
                        <Link
                          to="."
                          search={(before) => ({ ...before, actor: actor.id })}
                          className="row-link"
                          title={`${actor.type} ${actor.id}`}
                        >
                          {actor.name}
                        </Link>
                      ),
                    },
                    { key: 'change', header: 'What', cell: ({ change }) => change },
                    {
                      key: 'target',
                      header: 'Of what',
                      cell: ({ target }) => <Target {...target} />,
                    },
                    {
                      key: 'action',
                      header: 'Action',
                      cell: ({ action }) => <code>{action}</code>,
                      from: 'md',
                    },
                    {
                      key: 'details',
                      header: 'Details',
                      from: 'lg',
                      cell: ({ details }) => (
                        <Text size="xs" lineClamp={3} className="wrap-anywhere" maw={320}>
                          {Object.entries(details)
                            .map(
                              ([name, value]) =>
                                `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
                            )
                            .join(', ')}
                        </Text>
                      ),
                    },
                  ]}
                />
              )
            }
          </QueryState>
        </Section>
      </Stack>
    </>
  );
}

function Target({ kind, id, name }: AuditEntry['target']) {
  const key = id ?? name;
  return (
    <span className="wrap-anywhere">
      {kind}{' '}
      {key !== null && (
        <Link to="." search={(before) => ({ ...before, target: key })} className="row-link" title={key}>
          {name ?? `${key.slice(0, 12)}…`}
        </Link>
      )}
    </span>
  );
}

function Filters({ search, isFiltered }: { search: AuditSearch; isFiltered: boolean }) {
  const navigate = route.useNavigate();
  const apply = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => fieldOf(form, name) || undefined;
    void navigate({
      search: defined({
        actor: text('actor'),
        action: text('action'),
        target: text('target'),
        request: text('request'),
        since: fromField(fieldOf(form, 'since')),
        until: fromField(fieldOf(form, 'until')),
      }),
    });
  };
  return (
    <form onSubmit={apply} role="search" aria-label="Changes">
      <Group align="end" gap="sm">
        <NativeSelect
          name="action"
          label="Action"
          defaultValue={search.action ?? ''}
          data={[{ value: '', label: 'Any' }, ...changes]}
        />
        <TextInput name="actor" label="Who, by id" placeholder="key_… or usr_…" defaultValue={search.actor} />
        <TextInput
          name="target"
          label="Of what, by id or name"
          placeholder="job_… or captain"
          defaultValue={search.target}
        />
        <TextInput name="request" label="Request" placeholder="x-request-id" defaultValue={search.request} />
        <TextInput name="since" type="datetime-local" label="From" defaultValue={toField(search.since)} />
        <TextInput name="until" type="datetime-local" label="Until" defaultValue={toField(search.until)} />
        <Button type="submit">Filter</Button>
        {isFiltered && (
          <LinkButton to="/admin/audit" variant="subtle">
            Clear
          </LinkButton>
        )}
      </Group>
    </form>
  );
}
