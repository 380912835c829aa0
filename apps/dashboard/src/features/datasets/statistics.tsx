import { Progress, Stack, Text } from '@mantine/core';
import { type DatasetStatistics, type DuplicateReport, type LengthStatistics } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { DatasetSelect } from '../../components/data/dataset-select';
import { DataTable } from '../../components/data-table';
import { Facts } from '../../components/facts';
import { Section } from '../../components/section';
import { LoadingState, QueryState } from '../../components/states';
import { formatCount, formatNumber } from '../../lib/format';
import { apiQuery } from '../../lib/query';

interface StatisticsProps {
  /** Ids, and the name of the base model whose tokenizer counts. */
  dataset: string;
  base: string;
  against: string | undefined;
  onAgainst: (dataset: string | undefined) => void;
}

/** How long rows are, and which say the same. Both are worked out when they are asked for, and asked for until they are there. */
export function Statistics({ dataset, base, against, onAgainst }: StatisticsProps) {
  const statistics = useQuery({
    ...apiQuery<DatasetStatistics>(`/api/v1/files/${dataset}/statistics`, { baseModel: base, against }),
    refetchInterval: ({ state: { data } }) =>
      data !== undefined && (data.lengths === null || data.duplicates === null) ? 1000 : false,
  });
  return (
    <>
      <Section title="Lengths">
        <QueryState query={statistics}>
          {({ lengths }) => (lengths === null ? <LoadingState rows={6} /> : <Lengths lengths={lengths} />)}
        </QueryState>
      </Section>
      <Section title="Rows that say the same">
        <Stack gap="sm">
          <DatasetSelect
            label="Compared with"
            description="A dataset to evaluate on, say, whose rows should not be here."
            none="nothing else"
            value={against ?? ''}
            onChange={(id) => onAgainst(id || undefined)}
          />
          <QueryState query={statistics}>
            {({ duplicates }) =>
              duplicates === null ? <LoadingState rows={3} /> : <Duplicates report={duplicates} />
            }
          </QueryState>
        </Stack>
      </Section>
    </>
  );
}

function Lengths({ lengths }: { lengths: LengthStatistics }) {
  const { conversations, tokens, lossTokens, mean, percentiles, histogram, tooLong } = lengths;
  const most = Math.max(1, ...histogram.map((bin) => bin.conversations));
  return (
    <Stack gap="sm">
      <Facts
        rows={[
          { name: 'Conversations', value: formatCount(conversations) },
          { name: 'Tokens', value: `${formatCount(tokens)}, ${formatCount(lossTokens)} of them learnt` },
          { name: 'Mean', value: formatNumber(mean) },
          {
            name: 'Half, 90%, 99% have at most',
            value: [percentiles.p50, percentiles.p90, percentiles.p99].map(formatCount).join(', '),
          },
          { name: 'Longest', value: formatCount(percentiles.p100) },
          {
            name: `Longer than ${formatCount(tooLong.sequenceLength)}`,
            value: formatCount(tooLong.conversations),
          },
        ]}
      />
      <DataTable
        label="Conversations by length"
        rows={histogram}
        rowKey={({ from }) => String(from)}
        columns={[
          {
            key: 'tokens',
            header: 'Tokens',
            cell: ({ from, to }) => `${formatCount(from)} to ${formatCount(to - 1)}`,
          },
          {
            key: 'share',
            header: 'Share',
            width: 120,
            cell: (bin) => (
              <Progress
                value={(100 * bin.conversations) / most}
                size="sm"
                aria-label={`Of ${bin.from} to ${bin.to - 1} tokens`}
              />
            ),
          },
          {
            key: 'count',
            header: 'Count',
            align: 'right',
            cell: (bin) => formatCount(bin.conversations),
          },
        ]}
      />
    </Stack>
  );
}

function Duplicates({ report: { rows, exact, near, nearOf, overlap } }: { report: DuplicateReport }) {
  const found = [
    { key: 'exact', what: 'the same text', ...exact },
    { key: 'near', what: `nearly the same, among the first ${formatCount(nearOf)}`, ...near },
    ...(overlap === null
      ? []
      : [
          { key: 'there', what: 'also in the other dataset', ...overlap.exact },
          { key: 'near-there', what: 'nearly in the other dataset', ...overlap.near },
        ]),
  ];
  return (
    <>
      {found.every((one) => one.rows === 0) && (
        <Text size="sm" role="status">
          All {formatCount(rows)} rows are different.
        </Text>
      )}
      <DataTable
        label="Rows that say the same"
        rows={found}
        rowKey={({ key }) => key}
        columns={[
          { key: 'what', header: 'What', cell: ({ what }) => what },
          { key: 'rows', header: 'Rows', align: 'right', cell: (one) => formatCount(one.rows) },
          {
            key: 'lines',
            header: 'Lines',
            from: 'sm',
            cell: ({ groups }) =>
              groups
                .slice(0, 5)
                .map(({ line, copies }) => `${line}: ${copies.slice(0, 5).join(', ')}`)
                .join('; ') || '–',
          },
        ]}
      />
    </>
  );
}
