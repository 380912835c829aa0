import { Group, Progress, Text } from '@mantine/core';
import { type Page, type Worker } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { DataTable } from '../../components/data-table';
import { Section } from '../../components/section';
import { EmptyState, QueryState } from '../../components/states';
import { Ago } from '../../components/time';
import { formatBytes, formatPercent } from '../../lib/format';
import { apiQuery } from '../../lib/query';

/** Workers with how busy their machines are. */
export function Workers() {
  const workers = useQuery({ ...apiQuery<Page<Worker>>('/api/v1/workers'), refetchInterval: 5_000 });
  return (
    <Section title="Workers">
      <QueryState query={workers}>
        {({ data }) =>
          data.length === 0 ? (
            <EmptyState icon="server" title="No worker is there">
              Jobs wait until one is started.
            </EmptyState>
          ) : (
            <DataTable
              label="Workers"
              rows={data}
              rowKey={({ id }) => id}
              columns={[
                {
                  key: 'host',
                  header: 'Worker',
                  cell: ({ hostname, device, drain, failure }) => (
                    <>
                      <Text size="sm" fw={500}>
                        {hostname}
                        {drain !== null && (failure === null ? ' (draining)' : ' (failed)')}
                      </Text>
                      <Text size="xs" c="dimmed">
                        {device}
                      </Text>
                    </>
                  ),
                },
                { key: 'class', header: 'Class', cell: ({ deviceClass }) => deviceClass },
                {
                  key: 'slots',
                  header: 'Slots',
                  align: 'right',
                  cell: ({ busy, slots }) => `${busy} of ${slots}`,
                },
                {
                  key: 'use',
                  header: 'Utilisation',
                  width: 130,
                  cell: (worker) => (
                    <Meter label="Utilisation" share={deviceOf(worker)?.utilisation ?? null} />
                  ),
                },
                {
                  key: 'memory',
                  header: 'Memory',
                  width: 200,
                  cell: (worker) => {
                    const device = deviceOf(worker);
                    if (device === null || device.memoryTotalBytes === 0) return '–';
                    const { memoryUsedBytes: used, memoryTotalBytes: total } = device;
                    return (
                      <Meter
                        label="Memory"
                        share={used / total}
                        text={`${formatBytes(used)} of ${formatBytes(total)}`}
                      />
                    );
                  },
                },
                { key: 'seen', header: 'Seen', from: 'sm', cell: ({ seenAt }) => <Ago time={seenAt} /> },
              ]}
            />
          )
        }
      </QueryState>
    </Section>
  );
}

/** Of a worker with accelerators the busiest of them, of another its machine; null: not told yet. */
function deviceOf({ usage }: Worker) {
  if (usage === null) return null;
  const { devices, ...machine } = usage;
  return devices.toSorted((a, b) => (b.utilisation ?? 0) - (a.utilisation ?? 0))[0] ?? machine;
}

function Meter({ label, share, text }: { label: string; share: number | null; text?: string }) {
  if (share === null) return '–';
  return (
    <Group gap="xs" wrap="nowrap">
      <Progress value={100 * share} w={60} aria-label={label} style={{ flex: 'none' }} />
      <Text size="sm" className="numbers" style={{ whiteSpace: 'nowrap' }}>
        {text ?? formatPercent(share)}
      </Text>
    </Group>
  );
}
