import { Stack } from '@mantine/core';
import { type Dataset } from '@lowrank/contracts';
import { useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Suspense } from 'react';
import { DataTable } from '../../components/data-table';
import { LinkButton } from '../../components/links';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, LoadingState, QueryState } from '../../components/states';
import { Ago } from '../../components/time';
import { formatBytes, formatCompact, formatCount } from '../../lib/format';
import { apiPages } from '../../lib/query';
import { useMay } from '../../lib/session';
import { lazyPart } from '../../lib/lazy-part';

const UploadBox = lazyPart(() =>
  import('../../components/data/upload-box').then((file) => ({ default: file.UploadBox })),
);
const route = getRouteApi('/shell/datasets');

/** What there is to train on: versions of datasets, the newest first, and ways to bring more. */
export function DatasetsPage() {
  const { name } = route.useSearch();
  const navigate = route.useNavigate();
  const datasets = useInfiniteQuery(apiPages<Dataset>('/api/v1/files', { name, limit: 50 }));
  const rows = datasets.data?.pages.flatMap(({ data }) => data) ?? [];
  const may = useMay();
  return (
    <>
      <PageHeader
        title="Datasets"
        description="Files are checked row by row, and kept as versions of a name. The same content is the same version."
        actions={
          name !== undefined && (
            <LinkButton to="/datasets" size="xs" variant="default">
              All names
            </LinkButton>
          )
        }
      />
      <Stack gap="md">
        {may('datasets.upload') && (
          <Section title="Bring one">
            <Suspense fallback={<LoadingState rows={2} height={60} mih={{ base: 330, sm: 144 }} />}>
              <UploadBox
                baseModel={null}
                onDone={({ id }) => void navigate({ to: '/datasets/$id', params: { id }, search: {} })}
              />
            </Suspense>
          </Section>
        )}
        <Section title={name === undefined ? 'Versions, the newest first' : `Versions of ${name}`}>
          <QueryState query={datasets} loading={<LoadingState rows={6} />}>
            {() =>
              rows.length === 0 ? (
                <EmptyState icon="data" title={name === undefined ? 'No datasets yet' : `None of ${name}`}>
                  Chats, prompts with completions, or preferences, as JSONL, CSV, JSON or Parquet.
                </EmptyState>
              ) : (
                <DataTable
                  label="Datasets"
                  rows={rows}
                  rowKey={({ id }) => id}
                  more={{
                    hasMore: datasets.hasNextPage,
                    isLoading: datasets.isFetchingNextPage,
                    load: () => void datasets.fetchNextPage(),
                  }}
                  columns={[
                    {
                      key: 'name',
                      header: 'Dataset',
                      cell: (one) => (
                        <Link to="/datasets/$id" params={{ id: one.id }} className="row-link">
                          {one.name}@{one.version}
                        </Link>
                      ),
                    },
                    { key: 'rows', header: 'Rows', align: 'right', cell: (one) => formatCount(one.rows) },
                    { key: 'format', header: 'Format', from: 'xs', cell: ({ format }) => format },
                    {
                      key: 'tokens',
                      header: 'Tokens',
                      align: 'right',
                      from: 'sm',
                      cell: ({ tokens }) => (tokens === null ? '–' : formatCompact(tokens)),
                    },
                    {
                      key: 'bytes',
                      header: 'Size',
                      align: 'right',
                      from: 'sm',
                      cell: ({ bytes }) => formatBytes(bytes),
                    },
                    { key: 'file', header: 'File', from: 'md', cell: ({ filename }) => filename },
                    { key: 'at', header: 'Uploaded', cell: ({ createdAt }) => <Ago time={createdAt} /> },
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
