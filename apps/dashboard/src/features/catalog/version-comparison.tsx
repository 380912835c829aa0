import { Stack, Text } from '@mantine/core';
import { type FieldDiff, type VersionDiff } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { Choice } from '../../components/choice';
import { DataTable } from '../../components/data-table';
import { Section } from '../../components/section';
import { ErrorState, LoadingState } from '../../components/states';
import { formatBytes, formatCount, formatNumber } from '../../lib/format';
import { apiQuery } from '../../lib/query';
import { valueText } from '../../lib/recipe';
import { type AdapterProps } from './adapter-page';
import { measureText } from './measures';

const route = getRouteApi('/shell/catalog/$name');

/** In what the version that is looked at differs from another one of the adapter. */
export function VersionComparison({ adapter, versions, version, path }: AdapterProps) {
  const { against } = route.useSearch();
  const navigate = route.useNavigate();
  const others = versions.filter(({ number }) => number !== version.number).map(({ number }) => `v${number}`);
  const chosen = others.find((name) => name === against);
  const diff = useQuery({
    ...apiQuery<VersionDiff>(`${path}/versions/${chosen}/diff`, { to: `${adapter.name}@v${version.number}` }),
    enabled: chosen !== undefined,
  });
  return (
    <Section
      title={`v${version.number} beside another version`}
      aside={
        <Choice
          aria-label="Compare with"
          none="Choose a version"
          data={others}
          value={chosen}
          onChange={(next) =>
            void navigate({
              search: (before) => ({ ...before, against: next }),
              replace: true,
              resetScroll: false,
            })
          }
        />
      }
    >
      {chosen === undefined ? (
        <Text size="sm" c="dimmed">
          What it was made from, recipe, metrics and evaluations of both, where they differ.
        </Text>
      ) : diff.data !== undefined ? (
        <Differing diff={diff.data} names={[chosen, `v${version.number}`]} />
      ) : diff.error === null ? (
        <LoadingState rows={4} />
      ) : (
        <ErrorState error={diff.error} retry={() => void diff.refetch()} />
      )}
    </Section>
  );
}

/** A number of each version, and by how much it has changed; null: it was not measured, or not on both. */
interface Measured {
  name: string;
  from: number | null;
  to: number | null;
  change: number | null;
}

function Differing({ diff, names }: { diff: VersionDiff; names: [string, string] }) {
  const { source, recipe, metrics, evaluations } = diff;
  const fields = [...source, ...recipe];
  const [from, to] = names;
  const measured: Measured[] = [
    ...metrics.filter((metric) => metric.from !== metric.to),
    ...evaluations.map(({ dataset, measure, ...values }) => ({
      ...values,
      name: `${measureText(measure)} on ${dataset.filename}`,
    })),
  ];
  return (
    <Stack gap="sm">
      {fields.length === 0 ? (
        <Text size="sm">They are made of the same.</Text>
      ) : (
        <DataTable<FieldDiff>
          label="Makings that differ"
          rows={fields}
          rowKey={({ path }) => path}
          columns={[
            { key: 'path', header: 'Field', cell: ({ path }) => path },
            { key: 'from', header: from, cell: (field) => <Value of={field.from} /> },
            { key: 'to', header: to, cell: (field) => <Value of={field.to} /> },
          ]}
        />
      )}
      <DataTable<Measured>
        label="Results that differ"
        rows={measured}
        rowKey={({ name }) => name}
        columns={[
          { key: 'name', header: 'Result', cell: ({ name }) => nameText(name) },
          { key: 'from', header: from, align: 'right', cell: (one) => figure(one.name, one.from) },
          { key: 'to', header: to, align: 'right', cell: (one) => figure(one.name, one.to) },
          {
            ...{ key: 'change', header: 'Change', align: 'right', from: 'sm' },
            cell: ({ name, change }) =>
              change === null
                ? '–'
                : `${change > 0 ? '+' : change < 0 ? '−' : ''}${figure(name, Math.abs(change))}`,
          },
        ]}
      />
    </Stack>
  );
}

const Value = ({ of }: { of: unknown }) => (
  <span className="wrap-anywhere">{of === null ? '–' : valueText(of)}</span>
);

/** `evalLossAfter` → `eval loss after`; what an evaluation has measured has a text already. */
const nameText = (name: string): string =>
  /^[a-z]+[A-Z]/.test(name) && !name.includes(' ')
    ? name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    : name;

function figure(name: string, value: number | null): string {
  if (value === null) return '–';
  if (name.endsWith('Bytes')) return formatBytes(value);
  return Number.isInteger(value) ? formatCount(value) : formatNumber(value);
}
