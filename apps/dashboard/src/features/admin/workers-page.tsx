import { Alert, Button, Group, Progress, SimpleGrid, Stack, Text } from '@mantine/core';
import { type MachineUsage, type Worker } from '@lowrank/contracts';
import { useMutation, useQuery } from '@tanstack/react-query';
import { ConfirmButton } from '../../components/confirm-button';
import { Facts } from '../../components/facts';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, QueryState } from '../../components/states';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { formatBytes, formatPercent } from '../../lib/format';
import { notify, notifyError } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';

const path = '/api/v1/workers';

/** Workers that are there, how busy they are, and taking them out of service. */
export function WorkersPage() {
  const workers = useQuery({ ...apiQuery<{ data: Worker[] }>(path), refetchInterval: 3000 });
  return (
    <>
      <PageHeader title="Workers" description="Seen within the last minute." />
      <QueryState query={workers}>
        {({ data }) =>
          data.length === 0 ? (
            <EmptyState icon="server" title="No workers">
              Jobs wait until one is started: <code>lowrank up</code>, or the worker's process on another
              machine.
            </EmptyState>
          ) : (
            <Stack gap="md">
              {data.map((worker) => (
                <WorkerSection key={worker.id} worker={worker} />
              ))}
            </Stack>
          )
        }
      </QueryState>
    </>
  );
}

/** What a worker does with its slots, in a word. */
function stateOf({ drain, busy, failure }: Worker): { text: string; color: string } {
  if (failure !== null) return { text: 'failed', color: 'red' };
  if (drain !== null)
    return busy === 0 ? { text: 'drained', color: 'gray' } : { text: 'draining', color: 'yellow' };
  return busy === 0 ? { text: 'idle', color: 'green' } : { text: 'working', color: 'blue' };
}

function WorkerSection({ worker }: { worker: Worker }) {
  const { id, hostname, slots, busy, device, deviceClass, memoryBytes, seenAt, usage, failure } = worker;
  const { text, color } = stateOf(worker);
  return (
    <Section
      title={hostname}
      aside={
        <Group gap="xs">
          <TagBadge color={color}>{text}</TagBadge>
          <DrainButtons worker={worker} />
        </Group>
      }
    >
      <Stack gap="md">
        {failure !== null && (
          <Alert color="red" title="Its device failed">
            {failure.message} <Ago time={failure.at} />
          </Alert>
        )}
        <Facts
          rows={[
            { name: 'Slots', value: `${busy} of ${slots} taken` },
            { name: 'Device class', value: deviceClass },
            { name: 'Computes with', value: device },
            { name: 'Memory for jobs', value: memoryBytes === 0 ? 'not known' : formatBytes(memoryBytes) },
            { name: 'Seen', value: <Ago time={seenAt} /> },
            { name: 'Id', value: <code>{id}</code> },
          ]}
        />
        {usage === null ? (
          <Text size="sm" c="dimmed">
            It has not told how busy its machine is.
          </Text>
        ) : (
          <Usage usage={usage} />
        )}
      </Stack>
    </Section>
  );
}

function Usage({ usage: { devices, ...machine } }: { usage: MachineUsage }) {
  return (
    <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="md">
      <Bar
        label="Processors"
        share={machine.utilisation}
        text={machine.utilisation === null ? 'not known yet' : formatPercent(machine.utilisation)}
      />
      <Bar label="Memory" {...memoryOf(machine)} />
      {devices.map((device, index) => (
        <SimpleGrid key={index} cols={1} spacing="xs">
          <Bar
            label={device.name}
            share={device.utilisation}
            text={[
              device.utilisation === null ? 'not known' : formatPercent(device.utilisation),
              ...(device.temperature === null ? [] : [`${device.temperature} °C`]),
            ].join(', ')}
          />
          <Bar label={`Memory of ${device.name}`} {...memoryOf(device)} />
        </SimpleGrid>
      ))}
    </SimpleGrid>
  );
}

const memoryOf = ({ memoryUsedBytes, memoryTotalBytes }: Omit<MachineUsage, 'devices'>) => ({
  share: memoryTotalBytes === 0 ? null : memoryUsedBytes / memoryTotalBytes,
  text: `${formatBytes(memoryUsedBytes)} of ${formatBytes(memoryTotalBytes)}`,
});

function Bar({ label, share, text }: { label: string; share: number | null; text: string }) {
  return (
    <div>
      <Group justify="space-between" gap="xs">
        <Text size="sm">{label}</Text>
        <Text size="sm" c="dimmed" className="numbers">
          {text}
        </Text>
      </Group>
      <Progress
        value={100 * (share ?? 0)}
        aria-label={`${label}: ${text}`}
        color={(share ?? 0) > 0.9 ? 'orange' : 'blue'}
      />
    </div>
  );
}

function DrainButtons({ worker: { id, hostname, drain } }: { worker: Worker }) {
  const may = useMay();
  const undrain = useMutation({
    mutationFn: () => api.post(`${path}/${id}/undrain`),
    onSuccess: () => invalidate(path),
    onError: notifyError,
  });
  if (!may('workers.drain')) return null;
  if (drain !== null)
    return (
      <Button size="xs" variant="default" loading={undrain.isPending} onClick={() => undrain.mutate()}>
        Undrain {hostname}
      </Button>
    );
  const act = (mode: 'finish' | 'checkpoint') => async () => {
    await api.post(`${path}/${id}/drain`, { mode });
    notify(`${hostname} takes no new jobs.`);
    await invalidate(path);
  };
  return (
    <>
      <ConfirmButton
        title={`Drain ${hostname}?`}
        explanation="It takes no new jobs and finishes those that it runs."
        confirm="Drain it"
        act={act('finish')}
      >
        Drain {hostname}
      </ConfirmButton>
      <ConfirmButton
        title={`Hand on the jobs of ${hostname}?`}
        explanation="It takes no new jobs. Those that it runs write a checkpoint and go on elsewhere, to the same bytes."
        confirm="Hand them on"
        act={act('checkpoint')}
      >
        Hand on its jobs
      </ConfirmButton>
    </>
  );
}
