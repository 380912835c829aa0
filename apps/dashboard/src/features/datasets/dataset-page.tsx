import { Group, NativeSelect, Stack, Text } from '@mantine/core';
import { type BaseModel, type Dataset } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { ConfirmButton } from '../../components/confirm-button';
import { DataPreview } from '../../components/data/data-preview';
import { datasetTitle } from '../../components/data/dataset-select';
import { Facts } from '../../components/facts';
import { Icon } from '../../components/icon';
import { LinkButton } from '../../components/links';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, ErrorState, LoadingState } from '../../components/states';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { formatBytes, formatCount } from '../../lib/format';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate, type Page } from '../../lib/query';
import { useMay } from '../../lib/session';
import { Statistics } from './statistics';

const route = getRouteApi('/shell/datasets/$id');
const above = [{ label: 'Datasets', to: '/datasets' }];

/** One version of a dataset: what is in it, how long its rows are, which say the same, and what a model sees of them. */
export function DatasetPage() {
  const { id } = route.useParams();
  const dataset = useQuery(apiQuery<Dataset>(`/api/v1/files/${id}`));
  if (dataset.data === undefined)
    return (
      <>
        <PageHeader title="Dataset" above={above} />
        {dataset.isError ? (
          <ErrorState error={dataset.error} retry={() => void dataset.refetch()} />
        ) : (
          <LoadingState rows={8} />
        )}
      </>
    );
  return <Shown dataset={dataset.data} />;
}

function Shown({ dataset }: { dataset: Dataset }) {
  const { base: chosen, against } = route.useSearch();
  const change = route.useNavigate();
  const bases = useQuery(apiQuery<Page<BaseModel>>('/api/v1/base-models', { limit: 200 }));
  const ready = (bases.data?.data ?? []).filter(({ status }) => status === 'ready');
  const base = chosen ?? dataset.tokensOf ?? ready[0]?.name ?? null;
  return (
    <>
      <PageHeader
        title={datasetTitle(dataset)}
        above={above}
        description={
          <>
            {dataset.filename}, uploaded <Ago time={dataset.createdAt} />
          </>
        }
        actions={<Actions dataset={dataset} />}
      />
      <Stack gap="md">
        <Section title="What it is">
          <Facts
            rows={[
              { name: 'Rows', value: formatCount(dataset.rows) },
              { name: 'Format', value: dataset.format },
              { name: 'Size', value: formatBytes(dataset.bytes) },
              {
                name: 'Tokens',
                value:
                  dataset.tokens === null
                    ? 'not counted'
                    : `${formatCount(dataset.tokens)} of ${dataset.tokensOf}, ${formatCount(dataset.lossTokens ?? 0)} learnt`,
              },
              {
                name: 'Kept',
                value: dataset.expiresAt === null ? 'until it is deleted' : <Ago time={dataset.expiresAt} />,
              },
              { name: 'Id', value: <code>{dataset.id}</code> },
              { name: 'SHA-256', value: <code className="wrap-anywhere">{dataset.sha256}</code> },
            ]}
          />
        </Section>
        {ready.length > 0 && (
          <Group>
            <NativeSelect
              label="Seen by"
              description="Whose template and tokenizer."
              value={base ?? ''}
              data={ready.map(({ name }) => name)}
              onChange={({ currentTarget: { value } }) =>
                void change({ search: (before) => ({ ...before, base: value }), replace: true })
              }
            />
          </Group>
        )}
        {base === null ? (
          bases.data !== undefined && (
            <EmptyState title="No base model yet">
              Rows are shown and counted as a base model sees them: import one first.
            </EmptyState>
          )
        ) : (
          <>
            <Section title="Rows">
              <DataPreview key={`${dataset.id} ${base}`} dataset={dataset.id} base={base} />
            </Section>
            <Statistics
              dataset={dataset.id}
              base={base}
              against={against}
              onAgainst={(other) =>
                void change({ search: (before) => ({ ...before, against: other }), replace: true })
              }
            />
          </>
        )}
      </Stack>
    </>
  );
}

function Actions({ dataset }: { dataset: Dataset }) {
  const may = useMay();
  const navigate = useNavigate();
  const title = datasetTitle(dataset);
  return (
    <>
      {may('jobs.submit') && (
        <LinkButton
          to="/jobs/new"
          search={{ dataset: dataset.id }}
          size="xs"
          leftSection={<Icon name="play" size={15} />}
        >
          Train on it
        </LinkButton>
      )}
      <LinkButton to="/datasets" search={{ name: dataset.name }} size="xs" variant="default">
        All versions
      </LinkButton>
      {may('datasets.delete') && (
        <ConfirmButton
          leftSection={<Icon name="trash" size={15} />}
          title={`Delete ${title}?`}
          explanation={
            <Text size="sm">
              It cannot be brought back. While an unfinished job or a gate needs it, it stays. Adapters that
              were trained on it keep its checksum.
            </Text>
          }
          confirm="Delete it"
          act={async () => {
            await api.delete(`/api/v1/files/${dataset.id}`);
            notify(`${title} is deleted.`);
            await navigate({ to: '/datasets', search: {} });
            await invalidate('/api/v1/files');
          }}
        >
          Delete
        </ConfirmButton>
      )}
    </>
  );
}
