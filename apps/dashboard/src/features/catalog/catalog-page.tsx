import { Button, Group, NativeSelect, Stack, Switch, Text, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { type Adapter, type BaseModel } from '@lowrank/contracts';
import { keepPreviousData, useInfiniteQuery, useMutation, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useState } from 'react';
import { LinkButton } from '../../components/links';
import { DataTable } from '../../components/data-table';
import { Icon } from '../../components/icon';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, LoadingState, QueryState } from '../../components/states';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { formatNumber } from '../../lib/format';
import { notify, notifyError } from '../../lib/notify';
import { apiPages, apiQuery, invalidate, type Page } from '../../lib/query';
import { useMay } from '../../lib/session';
import { type CatalogSearch, methods, objectives, sorts } from './routes';

const route = getRouteApi('/shell/catalog');

const sortNames: Record<(typeof sorts)[number], string> = {
  updated: 'Changed last',
  created: 'Newest',
  name: 'Name',
  loss: 'Lowest loss',
  accuracy: 'Highest accuracy',
};

/** All adapters that the team may read: searched, filtered and sorted, by the address. */
export function CatalogPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { sort = 'updated', ...filters } = search;
  const adapters = useInfiniteQuery({
    ...apiPages<Adapter>('/api/v1/adapters', { ...filters, sort, limit: 50 }),
    placeholderData: keepPreviousData,
  });
  const change = (changes: Partial<Record<keyof CatalogSearch, unknown>>) =>
    void navigate({
      search: (before) => ({ ...before, ...changes }) as CatalogSearch,
      replace: true,
    });
  const isFiltered = Object.keys(filters).length > 0;
  const rows = adapters.data?.pages.flatMap(({ data }) => data) ?? [];
  return (
    <>
      <PageHeader title="Catalog" description="Adapters of your team, and those that others share with it." />
      <Stack gap="md">
        <Filters search={search} change={change} />
        <Section
          title={search.deleted ? 'Deleted adapters' : 'Adapters'}
          aside={
            isFiltered && (
              <LinkButton to="/catalog" variant="subtle" size="xs">
                Clear filters
              </LinkButton>
            )
          }
        >
          <QueryState query={adapters} loading={<LoadingState rows={6} />}>
            {() =>
              rows.length === 0 ? (
                <NoAdapters isFiltered={isFiltered} />
              ) : (
                <AdapterTable
                  rows={rows}
                  isDeleted={search.deleted === true}
                  more={{
                    hasMore: adapters.hasNextPage,
                    isLoading: adapters.isFetchingNextPage,
                    load: () => void adapters.fetchNextPage(),
                  }}
                />
              )
            }
          </QueryState>
        </Section>
      </Stack>
    </>
  );
}

function NoAdapters({ isFiltered }: { isFiltered: boolean }) {
  return isFiltered ? (
    <EmptyState icon="search" title="Nothing fits">
      No adapter has all of that. Leave out a word or a filter.
    </EmptyState>
  ) : (
    <EmptyState title="No adapters yet">
      A job that succeeds publishes the next version of its adapter, which then is here.
    </EmptyState>
  );
}

interface FiltersProps {
  search: CatalogSearch;
  change: (changes: Partial<Record<keyof CatalogSearch, unknown>>) => void;
}

function Filters({ search, change }: FiltersProps) {
  const [words, setWords] = useState(search.q ?? '');
  const [shown, setShown] = useState(search.q);
  if (shown !== search.q) {
    // The address was changed by something else than typing: by going back, or by a link.
    setShown(search.q);
    if ((search.q ?? '') !== words.trim()) setWords(search.q ?? '');
  }
  const apply = useDebouncedCallback((text: string) => change({ q: text.trim() || undefined }), 300);
  const bases = useQuery(apiQuery<Page<BaseModel>>('/api/v1/base-models', { limit: 200 }));
  const baseNames = new Set(bases.data?.data.map(({ name }) => name));
  if (search.baseModel !== undefined) baseNames.add(search.baseModel);
  const choice = (key: keyof CatalogSearch) => ({
    value: String(search[key] ?? ''),
    onChange: (event: React.ChangeEvent<HTMLSelectElement>) =>
      change({ [key]: event.currentTarget.value || undefined }),
  });
  const any = (label: string) => ({ value: '', label });
  return (
    <Group gap="xs" role="search" aria-label="Adapters" align="end">
      <TextInput
        aria-label="Search adapters"
        placeholder="Name, description, tag or card"
        leftSection={<Icon name="search" size={16} />}
        value={words}
        onChange={({ currentTarget: { value } }) => {
          setWords(value);
          apply(value);
        }}
        style={{ flex: '1 1 240px' }}
      />
      <NativeSelect
        aria-label="Base model"
        {...choice('baseModel')}
        data={[any('Any base model'), ...[...baseNames].sort()]}
      />
      <NativeSelect aria-label="Method" {...choice('method')} data={[any('Any method'), ...methods]} />
      <NativeSelect
        aria-label="Objective"
        {...choice('objective')}
        data={[any('Any objective'), ...objectives]}
      />
      <NativeSelect
        aria-label="Sort by"
        value={search.sort ?? 'updated'}
        onChange={({ currentTarget: { value } }) => change({ sort: value === 'updated' ? undefined : value })}
        data={sorts.map((value) => ({ value, label: sortNames[value] }))}
      />
      <Switch
        label="Deleted"
        checked={search.deleted === true}
        onChange={({ currentTarget: { checked } }) => change({ deleted: checked || undefined })}
        mb={8}
      />
      {search.tag !== undefined && (
        <Button
          size="xs"
          mb={3}
          variant="light"
          rightSection="×"
          onClick={() => change({ tag: undefined })}
          aria-label={`Any tag, not only ${search.tag}`}
        >
          {search.tag}
        </Button>
      )}
    </Group>
  );
}

interface TableProps {
  rows: Adapter[];
  isDeleted: boolean;
  more: { hasMore: boolean; isLoading: boolean; load: () => void };
}

function AdapterTable({ rows, isDeleted, more }: TableProps) {
  const may = useMay();
  const restore = useMutation({
    mutationFn: ({ name }: Adapter) => api.post(`/api/v1/adapters/${name}/restore`),
    onSuccess: (_data, { name }) => {
      notify(`${name} is back.`);
      return invalidate('/api/v1/adapters');
    },
    onError: notifyError,
  });
  return (
    <DataTable
      label="Adapters"
      rows={rows}
      rowKey={({ id }) => id}
      more={more}
      columns={[
        {
          key: 'name',
          header: 'Adapter',
          cell: (adapter) => (
            <>
              {isDeleted ? (
                adapter.name
              ) : (
                <Link
                  to="/catalog/$name"
                  params={{ name: adapter.name }}
                  search={adapter.sharedBy === null ? {} : { team: adapter.sharedBy }}
                  className="row-link wrap-anywhere"
                >
                  {adapter.sharedBy === null ? adapter.name : `${adapter.sharedBy}/${adapter.name}`}
                </Link>
              )}
              {adapter.description !== '' && (
                <Text size="xs" c="dimmed" lineClamp={2}>
                  {adapter.description}
                </Text>
              )}
            </>
          ),
          width: 140,
        },
        {
          key: 'aliases',
          header: 'Versions',
          cell: ({ latestVersion, aliases }) => (
            <Group gap={4}>
              {latestVersion === null ? '–' : `v${latestVersion}`}
              {aliases.map(({ name, version }) => (
                <TagBadge key={name} color="blue">
                  {name} → v{version}
                </TagBadge>
              ))}
            </Group>
          ),
        },
        { key: 'base', header: 'Base model', cell: ({ baseModel }) => baseModel, from: 'sm' },
        {
          key: 'method',
          header: 'Trained by',
          cell: ({ latest }) => (latest === null ? '–' : `${latest.method}, ${latest.objective}`),
          from: 'md',
        },
        {
          key: 'loss',
          header: 'Held-out loss',
          align: 'right',
          cell: ({ latest }) => formatNumber(latest?.loss),
          from: 'xs',
        },
        {
          key: 'tags',
          header: 'Tags',
          from: 'lg',
          cell: ({ tags }) => (
            <Group gap={4}>
              {tags.map((tag) => (
                <Link key={tag} to="/catalog" search={{ tag }} className="row-link">
                  {tag}
                </Link>
              ))}
            </Group>
          ),
        },
        { key: 'updated', header: 'Changed', cell: ({ updatedAt }) => <Ago time={updatedAt} />, from: 'sm' },
        ...(isDeleted && may('adapters.write')
          ? [
              {
                key: 'restore',
                header: 'Restore',
                cell: (adapter: Adapter) => (
                  <Button
                    size="xs"
                    variant="default"
                    aria-label={`Restore ${adapter.name}`}
                    loading={restore.isPending && restore.variables.id === adapter.id}
                    onClick={() => restore.mutate(adapter)}
                  >
                    Restore
                  </Button>
                ),
              },
            ]
          : []),
      ]}
    />
  );
}
